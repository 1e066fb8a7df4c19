import { open, readFile, readlink, realpath, symlink, unlink } from "node:fs/promises";
import { basename } from "node:path";
import type { MountBinding, MountSpec } from "./mount-spec.js";
import { OpenFiles } from "./open-files.js";

export interface LoopLinkOptions {
  readonly binding: MountBinding;
  /** Where the link to the device is, or is to be. */
  readonly link: string;
}

/** Puts a loop device on a file and a link to it at a place; the device stays when we end. @throws what the kernel says */
export async function makeLoopLink({
  binding,
  link,
  spec,
  backing,
}: LoopLinkOptions & { readonly spec: MountSpec; readonly backing: string }): Promise<void> {
  await using files = new OpenFiles();
  const loop = await binding.mounts.attachLoop(backing, spec.options.includes("ro"));
  // Until the last step the device goes with its descriptor, whatever happens.
  files.keep(loop.fd);
  await symlink(loop.path, link);
  await binding.mounts.setLoopAutoclear(loop.fd, false);
}

/** Takes both away; who has the device open or mounted keeps it until done. What is not there is fine. */
export async function removeLoopLink({
  binding,
  link,
  backing,
}: LoopLinkOptions & { readonly backing: string }): Promise<void> {
  const path = await readlink(link).catch(() => undefined);
  if (path === undefined) return;
  // After a reboot the number may be another file's.
  if (await isBackedBy(path, backing)) {
    const device = await open(path, "r");
    try {
      await binding.mounts.setLoopAutoclear(device.fd, true);
    } finally {
      await device.close();
    }
  }
  await unlink(link);
}

/** Whether the link leads to a device that is on this file. */
export async function isLoopLinked(link: string, backing: string): Promise<boolean> {
  const path = await readlink(link).catch(() => undefined);
  return path !== undefined && (await isBackedBy(path, backing));
}

async function isBackedBy(device: string, backing: string): Promise<boolean> {
  const file = `/sys/block/${basename(device)}/loop/backing_file`;
  const text = await readFile(file, "utf8").catch(() => undefined);
  const actual = text?.replace(/\n$/, "");
  const real = await realpath(backing).catch(() => backing);
  return actual === real || actual === `${real} (deleted)`;
}
