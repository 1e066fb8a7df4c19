import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mount } from "../../src/snapshotters/index.js";
import { command } from "../rig/command.js";

/** Characters of options that one page of mount(2) holds. */
const OPTIONS_LENGTH_MAX = 4000;

/** Makes a snapshotter's mounts as its client does, runs the work on them, and takes them away again. */
export async function withMounts<Result>(
  mounts: readonly Mount[],
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-mount-"));
  let count = 0;
  try {
    for (const mount of mounts) {
      await makeMount(mount, folder);
      count += 1;
    }
    return await work(folder);
  } finally {
    for (; count > 0; count -= 1) await command("umount", [folder]);
    await rmdir(folder);
  }
}

async function makeMount(mount: Mount, folder: string): Promise<void> {
  if (mount.type === "bind") {
    await command("mount", ["--rbind", mount.source, folder]);
    if (mount.options.includes("ro")) await command("mount", ["-o", "remount,bind,ro", folder]);
    return;
  }
  const options = mount.options.join(",");
  const { text, cwd } = options.length > OPTIONS_LENGTH_MAX ? compact(options) : { text: options, cwd: "/" };
  await command("mount", ["-t", mount.type, "-o", text, mount.source, folder], { cwd });
}

/** Shortens the paths of an overlay by the folder that they share: the kernel reads them from the working folder. */
function compact(options: string): { text: string; cwd: string } {
  const paths = [...options.matchAll(/\/[^,:]+/g)].map(([path]) => path);
  let shared = paths[0] ?? "/";
  while (!paths.every((path) => path.startsWith(`${shared}/`)))
    shared = shared.slice(0, shared.lastIndexOf("/"));
  return { text: options.replaceAll(`${shared}/`, ""), cwd: shared };
}
