import { alreadyExists, invalidArgument, LazuliError, notFound } from "../errors/index.js";
import {
  attachLease,
  type NamespacedSnapshotRow,
  namespacedSnapshots,
  TARGET_LABEL,
} from "../metadata/index.js";
import { failurePoint, log } from "../observe/index.js";
import type { CreateSnapshot, Mount, SnapshotInfo } from "./contract.js";
import {
  checkedLabels,
  checkKey,
  hasCode,
  inheritedLabels,
  type NamespacedParts,
  parentMissing,
  rowExists,
  type SnapshotContext,
} from "./namespaced-rows.js";

const made = failurePoint("snapshots.namespaced.made");
const recorded = failurePoint("snapshots.namespaced.recorded");

export interface Creation {
  readonly parts: NamespacedParts;
  readonly context: SnapshotContext;
  readonly request: CreateSnapshot;
  readonly kind: "active" | "view";
}

/** What the snapshotter below has made, or found for a target. */
type Below =
  | { readonly storeKey: string; readonly mounts: readonly Mount[] }
  | { readonly storeKey: string; readonly found: SnapshotInfo };

/**
 * Makes the snapshot below and then its row. A target that the one below has committed by itself gets the row, and
 * the caller is told ALREADY_EXISTS. @throws as `Snapshotter.prepare`
 */
export async function createSnapshot(creation: Creation): Promise<readonly Mount[]> {
  const { parts, request } = creation;
  const labels = checkedLabels(request.labels);
  checkKey(request.key);
  const target = labels[TARGET_LABEL] ?? "";
  if (target !== "") checkKey(target);
  const parentKey = parentBelow(creation, target);
  const storeKey = await parts.nextStoreKey(creation.context.namespace, request.key);
  using _name = await parts.pinned.pin(storeKey);
  // The sweep takes no snapshot of this target meanwhile, whatever its name below is.
  using _target = target === "" ? undefined : await parts.pinned.pin(targetPin(target));
  const below = await createBelow(creation, { storeKey, parentKey, labels, target });
  made.pass();
  try {
    await record(creation, { below, parentKey, labels, target });
  } catch (thrown) {
    if ("mounts" in below) await takeBack(parts, storeKey);
    throw thrown;
  }
  recorded.pass();
  if ("mounts" in below) return below.mounts;
  throw alreadyExists(`target snapshot ${JSON.stringify(target)} from snapshotter`, {
    subject: target,
    reason: "remote-snapshot-prepared",
  });
}

export function targetPin(target: string): string {
  return `target ${target}`;
}

/** Checks what can be checked before work is spent. @returns the parent's name below, or "" */
function parentBelow(creation: Creation, target: string): string {
  const { parts, context, request } = creation;
  const place = (key: string): string[] => [context.namespace, parts.name, key];
  if (target !== "" && parts.metadata.get(namespacedSnapshots, place(target)) !== undefined) {
    throw alreadyExists(`target snapshot ${JSON.stringify(target)}`, {
      subject: target,
      reason: "target-exists",
    });
  }
  if (parts.metadata.get(namespacedSnapshots, place(request.key)) !== undefined) throw rowExists(request.key);
  if (request.parent === "") return "";
  const parent = parts.metadata.get(namespacedSnapshots, place(request.parent));
  if (parent === undefined) throw parentMissing(request.parent);
  return parent.storeKey;
}

interface Wanted {
  readonly storeKey: string;
  readonly parentKey: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: string;
}

async function createBelow(creation: Creation, wanted: Wanted): Promise<Below> {
  const { parts, request, kind } = creation;
  const { storeKey, parentKey, target } = wanted;
  const labels = inheritedLabels(wanted.labels);
  const below = { key: storeKey, parent: parentKey, labels, signal: request.signal };
  try {
    const mounts = await (kind === "view" ? parts.snapshotter.view(below) : parts.snapshotter.prepare(below));
    return { storeKey, mounts };
  } catch (thrown) {
    if (!hasCode(thrown, "ALREADY_EXISTS")) throw thrown;
    if (target === "") {
      // The name is new, so this is no answer that a client could act on.
      throw new LazuliError("UNKNOWN", `unexpected error from snapshotter: ${(thrown as Error).message}`, {
        subject: request.key,
        reason: "snapshotter-name-taken",
        cause: thrown,
      });
    }
  }
  const found = await findTarget(parts, target, parentKey);
  return { storeKey: found.name, found };
}

/** The committed snapshot below that stands for a target on a parent. @throws NOT_FOUND */
async function findTarget(parts: NamespacedParts, target: string, parentKey: string): Promise<SnapshotInfo> {
  const filter = `labels.${JSON.stringify(TARGET_LABEL)}==${JSON.stringify(target)},parent==${JSON.stringify(parentKey)}`;
  for await (const info of parts.snapshotter.walk([filter])) {
    // A snapshotter may take no notice of filters.
    if (info.kind !== "committed" || info.labels[TARGET_LABEL] !== target || info.parent !== parentKey)
      continue;
    return info;
  }
  throw notFound(`target snapshot ${JSON.stringify(target)} in backend`, {
    subject: target,
    reason: "target-missing",
  });
}

async function record(
  creation: Creation,
  made: {
    readonly below: Below;
    readonly parentKey: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly target: string;
  },
): Promise<void> {
  const { parts, context, request } = creation;
  const { below, parentKey, labels, target } = made;
  const { namespace, lease } = context;
  const isFound = "found" in below;
  const key = isFound ? target : request.key;
  const at = parts.now();
  const row: NamespacedSnapshotRow = {
    namespace,
    snapshotter: parts.name,
    key,
    storeKey: below.storeKey,
    parent: request.parent,
    labels: isFound ? { ...below.found.labels, ...labels } : labels,
    createdAt: isFound ? below.found.createdAt : at,
    updatedAt: isFound ? below.found.updatedAt : at,
  };
  const isTaken = await parts.metadata.write((transaction) => {
    if (lease !== undefined) {
      const resource = { type: `snapshots/${parts.name}`, id: key };
      attachLease(transaction, { namespace, lease, resource });
    }
    if (transaction.get(namespacedSnapshots, [namespace, parts.name, key]) !== undefined) return true;
    if (request.parent !== "") {
      const parent = transaction.get(namespacedSnapshots, [namespace, parts.name, request.parent]);
      if (parent === undefined) throw parentMissing(request.parent);
      if (parent.storeKey !== parentKey) {
        throw invalidArgument(`mismatched parent ${request.parent} from target ${target}`, {
          subject: key,
          reason: "parent-differs",
        });
      }
    }
    transaction.put(namespacedSnapshots, [namespace, parts.name, key], row);
    return false;
  });
  if (isTaken && !isFound) throw rowExists(key);
  // Still pinned: a sweep that began before the row was durable learns of it here.
  parts.noteKept(row.storeKey);
}

async function takeBack(parts: NamespacedParts, storeKey: string): Promise<void> {
  try {
    await parts.snapshotter.remove(storeKey);
  } catch (thrown) {
    const { message } = LazuliError.from(thrown);
    log.warn("Cannot take back a snapshot that no row leads to: a sweep removes it", {
      key: storeKey,
      error: message,
    });
  }
}
