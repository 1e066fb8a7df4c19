import { randomUUID } from "node:crypto";
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type MountBinding, type MountSpec, mountAll, unmountAll } from "../mounts/index.js";

export interface TemporaryMountOptions {
  readonly binding: MountBinding;
  /** Private folder in which the place is made. */
  readonly folder: string;
  /** None: the place is an empty folder. */
  readonly mounts: readonly MountSpec[];
  readonly signal: AbortSignal;
}

/** Lends a list of mounts at a place of its own. What is there may be lazy: it is for the addon's threads only. */
export async function withTemporaryMount<Result>(
  options: TemporaryMountOptions,
  use: (root: string) => Promise<Result>,
): Promise<Result> {
  const { binding, mounts, signal } = options;
  const target = join(options.folder, `mount-${randomUUID()}`);
  await mkdir(target, { mode: 0o700 });
  try {
    await mountAll({ binding, mounts, target, signal });
    try {
      return await use(target);
    } finally {
      await unmountAll({ binding, mounts, target });
    }
  } finally {
    await rmdir(target);
  }
}

/** As containerd's WithReadonlyTempMount: an overlay without its upper folder, others with `ro`. */
export function readOnlyMounts(mounts: readonly MountSpec[]): MountSpec[] {
  return mounts.map((mount) => {
    if (mount.type !== "overlay") {
      const options = mount.options.filter((option) => option !== "rw" && option !== "ro");
      return { ...mount, options: [...options, "ro"] };
    }
    const upper = optionOf(mount, "upperdir");
    if (upper === undefined) return mount;
    const others = mount.options.filter((option) => !/^(?:upperdir|workdir|lowerdir)=/.test(option));
    const lower = optionOf(mount, "lowerdir");
    // Linux takes no overlay of a single layer.
    if (lower === undefined)
      return { type: "bind", source: upper, target: mount.target, options: ["rbind", "ro"] };
    return { ...mount, options: [...others, `lowerdir=${upper}:${lower}`] };
  });
}

/** Of the last option with this key. */
export function optionOf(mount: MountSpec, key: string): string | undefined {
  const prefix = `${key}=`;
  return mount.options.findLast((option) => option.startsWith(prefix))?.slice(prefix.length);
}
