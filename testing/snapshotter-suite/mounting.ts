import { mkdtemp, rm, rmdir, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadBinding } from "../../src/fuse/index.js";
import type { Mount } from "../../src/snapshotters/index.js";
import { command } from "../rig/command.js";

/** Characters of options that one page of mount(2) holds, less what else is on it. */
const OPTIONS_LENGTH_MAX = 4000;
/** MS_* of mount(2). */
const flags = { readOnly: 1, remount: 32, bind: 4096, recursive: 16384 } as const;
const binding = loadBinding();
const folderOptions = ["lowerdir=", "upperdir=", "workdir="];

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
    for (; count > 0; count -= 1) await binding.umount(folder, 0);
    await rmdir(folder);
  }
}

/** The length of a mount's options as mount(2) takes them. */
export function optionsLength(mount: Mount): number {
  return mount.options.join(",").length;
}

async function makeMount(mount: Mount, folder: string): Promise<void> {
  const { type, source, options } = mount;
  if (type === "bind") {
    await binding.mount(source, folder, "", flags.bind | flags.recursive, "");
    if (options.includes("ro"))
      await binding.mount("", folder, "", flags.remount | flags.bind | flags.readOnly, "");
    return;
  }
  if (optionsLength(mount) > OPTIONS_LENGTH_MAX) {
    await mountByShortNames(mount, folder);
    return;
  }
  const data = options.filter((option) => option !== "ro" && option !== "rw").join(",");
  await binding.mount(source, folder, type, options.includes("ro") ? flags.readOnly : 0, data);
}

/** The kernel reads an overlay's folders from the working folder, and follows links: 500 of them fit on a page. */
async function mountByShortNames(mount: Mount, folder: string): Promise<void> {
  const links = await mkdtemp(join(tmpdir(), "lazuli-links-"));
  let count = 0;
  const shortened = async (path: string): Promise<string> => {
    const name = (count++).toString(36);
    await symlink(path, join(links, name));
    return name;
  };
  try {
    const options: string[] = [];
    for (const option of mount.options) {
      const key = folderOptions.find((name) => option.startsWith(name));
      if (key === undefined) options.push(option);
      else {
        const names = await Promise.all(option.slice(key.length).split(":").map(shortened));
        options.push(`${key}${names.join(":")}`);
      }
    }
    const args = ["-t", mount.type, "-o", options.join(","), mount.source, folder];
    await command("mount", args, { cwd: links });
  } finally {
    await rm(links, { recursive: true });
  }
}
