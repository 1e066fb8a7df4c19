import { setImmediate as turn } from "node:timers/promises";
import { LazuliError } from "../errors/index.js";
import { namespacedSnapshots, TARGET_LABEL } from "../metadata/index.js";
import { failurePoint, log } from "../observe/index.js";
import type { SnapshotInfo } from "./contract.js";
import { targetPin } from "./namespaced-create.js";
import { hasCode, type NamespacedParts } from "./namespaced-rows.js";

const removedSnapshot = failurePoint("snapshots.sweep.removed");

export interface SnapshotSweep {
  readonly removedSnapshots: number;
}

export interface SnapshotSweepOptions {
  readonly signal?: AbortSignal | undefined;
  /** Names below that rows lead to; those of rows that come while the sweep runs are added by their writers. */
  readonly kept: Set<string>;
}

const ROWS_PAGE = 500;

/** Removes the snapshots below that no row leads to, children first, and then what removed ones left behind. */
export async function sweepSnapshots(
  parts: NamespacedParts,
  options: SnapshotSweepOptions,
): Promise<SnapshotSweep> {
  const { signal, kept } = options;
  await collectKept(parts, options);
  const infos: SnapshotInfo[] = [];
  for await (const info of parts.snapshotter.walk([])) infos.push(info);
  let removedSnapshots = 0;
  for (const info of childrenFirst(infos)) {
    signal?.throwIfAborted();
    if (kept.has(info.name)) continue;
    if (await removeUnknown(parts, info, kept)) removedSnapshots += 1;
  }
  await cleanUp(parts);
  return { removedSnapshots };
}

async function collectKept(parts: NamespacedParts, options: SnapshotSweepOptions): Promise<void> {
  for (let after: readonly string[] | undefined; ; ) {
    options.signal?.throwIfAborted();
    const page = parts.metadata.page(namespacedSnapshots, [], { after, limit: ROWS_PAGE });
    for (const { value } of page) if (value.snapshotter === parts.name) options.kept.add(value.storeKey);
    const last = page.at(-1)?.value;
    if (last === undefined || page.length < ROWS_PAGE) return;
    after = [last.namespace, last.snapshotter, last.key];
    await turn();
  }
}

/** The snapshots so that each comes after all of its children. */
function childrenFirst(infos: readonly SnapshotInfo[]): SnapshotInfo[] {
  const children = new Map<string, SnapshotInfo[]>();
  const names = new Set(infos.map((info) => info.name));
  const parentsFirst: SnapshotInfo[] = [];
  for (const info of infos) {
    if (!names.has(info.parent)) parentsFirst.push(info);
    else children.set(info.parent, [...(children.get(info.parent) ?? []), info]);
  }
  // Grows while it is walked.
  for (const info of parentsFirst) parentsFirst.push(...(children.get(info.name) ?? []));
  return parentsFirst.reverse();
}

async function removeUnknown(
  parts: NamespacedParts,
  info: SnapshotInfo,
  kept: ReadonlySet<string>,
): Promise<boolean> {
  const target = info.labels[TARGET_LABEL];
  const names = target === undefined ? [info.name] : [info.name, targetPin(target)];
  const isRemoved = await parts.pinned.remove(names, async () => {
    // Again, now that nobody can pin it.
    if (kept.has(info.name)) return false;
    try {
      await parts.snapshotter.remove(info.name);
      return true;
    } catch (thrown) {
      if (hasCode(thrown, "NOT_FOUND")) return false;
      if (!hasCode(thrown, "FAILED_PRECONDITION")) throw thrown;
      log.warn("A snapshot that no namespace has stays: the snapshotter does not let go of it", {
        key: info.name,
        error: LazuliError.from(thrown).message,
      });
      return false;
    }
  });
  if (isRemoved) removedSnapshot.pass();
  return isRemoved;
}

async function cleanUp(parts: NamespacedParts): Promise<void> {
  try {
    await parts.snapshotter.cleanup();
  } catch (thrown) {
    // Not every snapshotter has something to clean up.
    if (!hasCode(thrown, "UNIMPLEMENTED")) throw thrown;
  }
}
