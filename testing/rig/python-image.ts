import { access, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.js";
import { writeOciArchive } from "./oci-archive.js";

export const pythonImageName = "lazuli.test/python:latest";

/**
 * An OCI archive of a real python image: Debian's minbase, python3 with pip, and a small program, in three layers.
 * Built once into the folder and found there again. About 230 MB of tar, 11,000 entries.
 */
export async function pythonImageArchive(options: { folder: string }): Promise<string> {
  const archive = join(options.folder, "python.oci.tar");
  if (await exists(archive)) return archive;
  const work = join(options.folder, "python.new");
  await rm(work, { recursive: true, force: true });
  await mkdir(join(work, "app"), { recursive: true });
  const root = join(work, "root");
  await command("mmdebstrap", [
    "--mode=root",
    "--variant=minbase",
    "--include=python3,python3-pip,ca-certificates",
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "bookworm",
    root,
  ]);
  const python = ["./usr/lib/python3", "./usr/lib/python3.11"];
  const tar = ["--numeric-owner", "--sort=name", "--xattrs", "-C", root];
  const excluded = [...python, "./dev/*", "./proc/*", "./sys/*"].map((path) => `--exclude=${path}`);
  await command("tar", [...tar, ...excluded, "-cf", join(work, "base.tar"), "."]);
  await command("tar", [...tar, "-cf", join(work, "python.tar"), ...python]);
  await writeFile(join(work, "app", "hello.py"), 'import json, ssl, http.client\nprint("hello")\n');
  await command("tar", ["--numeric-owner", "--sort=name", "-C", work, "-cf", join(work, "app.tar"), "app"]);
  await writeOciArchive({
    layers: ["base.tar", "python.tar", "app.tar"].map((name) => join(work, name)),
    config: {
      Cmd: ["python3", "/app/hello.py"],
      Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      WorkingDir: "/",
    },
    name: pythonImageName,
    archive: join(work, "python.oci.tar"),
  });
  await rename(join(work, "python.oci.tar"), archive);
  await rm(work, { recursive: true });
  return archive;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
