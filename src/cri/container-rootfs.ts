import { mkdir, mkdtemp, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import { type MountSpec, mountAll, unmountAll } from "../mounts/index.js";
import { failurePoint } from "../observe/index.js";
import type { Mount, Snapshotter } from "../snapshotters/index.js";
import type { Accounts } from "../spec/index.js";
import type { UserMappings } from "./spec/index.js";

const mounted = failurePoint("cri.container.rootfs-mounted");

interface Parts {
  readonly binding: NativeBinding;
  /** Temporary mounts are made below it. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
}

/** Longer files have no accounts that anybody looks up. */
const ACCOUNTS_BYTES_MAX = 16 * 1024 * 1024;

/** The labels by which a snapshot is made for a user namespace; none without a mapping. */
export function mappingLabels(mapping: UserMappings | undefined): Record<string, string> {
  if (mapping === undefined) return {};
  const text = (maps: UserMappings["uids"]): string =>
    maps.map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`).join(",");
  return {
    "containerd.io/snapshot/uidmapping": text(mapping.uids),
    "containerd.io/snapshot/gidmapping": text(mapping.gids),
  };
}

/** A new snapshot, or the one that a call made which was cut off. */
export async function prepareOrFind(
  snapshotter: Snapshotter,
  request: {
    readonly key: string;
    readonly parent: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<readonly Mount[]> {
  try {
    return await snapshotter.prepare(request);
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code !== "ALREADY_EXISTS") throw thrown;
    return await snapshotter.mounts(request.key, { signal: request.signal });
  }
}

/**
 * Runs the work with a root file system mounted read-only in a place of its own. It may be lazy: the work must not touch
 * it but through calls of the addon.
 */
export async function withRootfs<Result>(
  { binding, folder, signal }: Parts,
  mounts: readonly Mount[],
  work: (root: string) => Promise<Result>,
): Promise<Result> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const target = await mkdtemp(join(folder, "rootfs-"));
  try {
    await mountAll({ binding, mounts: mounts.map(readOnly), target, signal });
    mounted.pass();
    try {
      return await work(target);
    } finally {
      await unmountAll({ binding, target });
    }
  } finally {
    await rmdir(target);
  }
}

/** Takes away what withRootfs() left when we were killed. */
export async function cleanRootfs({ binding, folder }: Omit<Parts, "signal">): Promise<void> {
  const names = await readdir(folder).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT") return [];
    throw thrown;
  });
  for (const name of names) {
    await unmountAll({ binding, target: join(folder, name) });
    await rmdir(join(folder, name));
  }
}

/** /etc/passwd and /etc/group of what is mounted. */
export async function readAccounts(binding: NativeBinding, root: string): Promise<Accounts> {
  const read = async (path: string): Promise<string | undefined> =>
    (await binding.containers.readFile(root, path, ACCOUNTS_BYTES_MAX))?.toString("utf8");
  const [passwd, group] = await Promise.all([read("etc/passwd"), read("etc/group")]);
  return { passwd, group };
}

/** What an image has in a folder goes into an empty one, with owners and modes; nothing where it has no such folder. */
export async function fillVolume(
  binding: NativeBinding,
  volume: {
    readonly root: string;
    readonly containerPath: string;
    readonly hostPath: string;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { root, containerPath, hostPath, signal } = volume;
  let source: string;
  try {
    source = await binding.mounts.resolve(root, containerPath);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return;
    throw thrown;
  }
  // The copy makes the folder itself, with what the image's has.
  await rmdir(hostPath);
  const copy = binding.trees.copy(source, hostPath);
  const cancel = (): void => copy.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    await copy.done;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** An overlay without its upper layer as such: two mounts must not share one. */
function readOnly({ type, source, target, options }: Mount): MountSpec {
  const upper = options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
  const own = options
    .filter(
      (option) => option !== "rw" && option !== "ro" && !/^(upperdir|workdir|uidmap|gidmap)=/.test(option),
    )
    .map((option) =>
      upper !== undefined && option.startsWith("lowerdir=")
        ? `lowerdir=${upper}:${option.slice("lowerdir=".length)}`
        : option,
    );
  return { type, source, target, options: [...own.filter((option) => option !== "volatile"), "ro"] };
}
