import { type ErrorCode, LazuliError } from "../errors/index.js";
import type { NativeIdRange } from "../fuse/index.js";
import type { IdMapping, IdRange } from "./id-mapping.js";
import { mountAll, unmountAll } from "./mount-all.js";
import type { MountBinding, MountSpec } from "./mount-spec.js";

export interface RemapTreeOptions {
  readonly binding: Pick<MountBinding, "mounts">;
  /** A folder that nobody else uses: after a failure its owners are a mixture. */
  readonly root: string;
  readonly mapping: IdMapping;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Changes the owner of every inode of a tree to its mapped one, for where nothing can be mounted idmapped. Keeps setuid
 * bits, and capabilities for the mapped root. Returns the inodes changed.
 * @throws FAILED_PRECONDITION `id-unmapped` for an owner without a place in the mapping; the signal's reason
 */
export async function remapTree(options: RemapTreeOptions): Promise<number> {
  const { binding, root, mapping, signal } = options;
  signal?.throwIfAborted();
  const call = binding.mounts.remap(root, mapping.uids.map(toTriple), mapping.gids.map(toTriple));
  const cancel = (): void => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await call.done;
  } catch (thrown) {
    signal?.throwIfAborted();
    throw remapError(thrown, root);
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

function toTriple({ inside, outside, size }: IdRange): NativeIdRange {
  return [inside, outside, size];
}

function remapError(thrown: unknown, root: string): LazuliError {
  const { code, message } = thrown as NodeJS.ErrnoException;
  const isUnmapped = code === "EOVERFLOW";
  const ours: ErrorCode = isUnmapped ? "FAILED_PRECONDITION" : LazuliError.from(thrown).code;
  return new LazuliError(ours, `Cannot change the owners in ${root}: ${message}`, {
    subject: root,
    reason: isUnmapped ? "id-unmapped" : "remap-failed",
    cause: thrown,
  });
}

export interface RemapUpperOptions extends Omit<RemapTreeOptions, "binding" | "root"> {
  readonly binding: MountBinding;
  /** Nearest first; they don't change. */
  readonly lowers: readonly string[];
  /** Empty folders of one file system: afterwards `upper` is a layer that changes the owners of those below. */
  readonly upper: string;
  readonly work: string;
  /** An empty folder to mount on meanwhile. */
  readonly target: string;
  /**
   * Copies owners, modes and names but no content: every mount of the layer needs the option `metacopy=on` then, and is
   * refused in a user namespace. Otherwise each file's bytes are copied.
   */
  readonly isMetacopy: boolean;
}

/** Makes a layer on top of others that gives all they show its mapped owner. Not synced. @throws as remapTree and mountAll */
export async function remapIntoUpper(options: RemapUpperOptions): Promise<number> {
  const { binding, target, mapping, signal } = options;
  const mounts = await mountForRemap(options);
  try {
    return await remapTree({ binding, root: target, mapping, signal });
  } finally {
    await unmountAll({ binding, mounts, target });
  }
}

async function mountForRemap(options: RemapUpperOptions): Promise<readonly MountSpec[]> {
  const { binding, lowers, upper, work, target, isMetacopy, signal } = options;
  const settings = [`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lowers.map(escaped).join(":")}`];
  // An index keeps the names of one inode together.
  settings.push(`metacopy=${isMetacopy ? "on" : "off"}`, "index=on");
  const mountWith = async (...more: string[]): Promise<readonly MountSpec[]> => {
    const mounts = [{ type: "overlay", source: "overlay", target: "", options: [...settings, ...more] }];
    await mountAll({ binding, mounts, target, signal });
    return mounts;
  };
  try {
    // Otherwise the end of the mount syncs the whole file system of the upper layer.
    return await mountWith("volatile");
  } catch (thrown) {
    if (LazuliError.from(thrown).reason !== "mount-refused") throw thrown;
    return await mountWith();
  }
}

function escaped(path: string): string {
  return path.replace(/[\\:]/g, "\\$&");
}
