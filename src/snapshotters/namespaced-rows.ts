import type { KeyedQueue } from "../async/index.js";
import type { PinnedNames } from "../content/index.js";
import { alreadyExists, invalidArgument, LazuliError, notFound } from "../errors/index.js";
import {
  type JsonValue,
  leaseResources,
  type Metadata,
  type NamespacedSnapshotRow,
  namespacedSnapshots,
  TARGET_LABEL,
  type Table,
  type Transaction,
} from "../metadata/index.js";
import type { SnapshotInfo, Snapshotter } from "./contract.js";

/** Who calls: a namespace, and the lease that what is made belongs to. */
export interface SnapshotContext {
  readonly namespace: string;
  readonly lease: string | undefined;
}

/** What the namespaces of one snapshotter have in common. */
export interface NamespacedParts {
  /** Commits take turns by namespace and name. */
  readonly turns: KeyedQueue<string>;
  readonly metadata: Metadata;
  /** The one below, which knows no namespaces. */
  readonly snapshotter: Snapshotter;
  /** As clients call it; part of the rows' keys. */
  readonly name: string;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  /** Names in the snapshotter below, and targets, that a row is being written for. */
  readonly pinned: PinnedNames;
  /** Says that a row leads to this name below from now on. */
  readonly noteKept: (storeKey: string) => void;
  /** A name below that was never used. */
  readonly nextStoreKey: (namespace: string, key: string) => Promise<string>;
}

/**
 * A commit that is under way below. It is written before and deleted with the rows' change, so that after a crash in
 * between the rows can follow what happened below.
 */
export interface PendingCommit {
  readonly namespace: string;
  readonly snapshotter: string;
  readonly key: string;
  readonly name: string;
  /** Name below that the commit makes. */
  readonly storeKey: string;
  /** Name of this namespace; "" for none. */
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** By [namespace, snapshotter, key]. */
export const pendingCommits: Table<PendingCommit> = {
  name: "pending-snapshot-commits",
  encode: (commit) => ({ ...commit, labels: { ...commit.labels } }),
  decode: (value: JsonValue) => value as unknown as PendingCommit,
};

const INHERITED_PREFIX = "containerd.io/snapshot/";
const LABEL_BYTES_MAX = 4096;
/** Longest key in bytes of UTF-8; below it has a namespace and a number before it, and 1024 bytes are the end there. */
const KEY_BYTES_MAX = 900;

/** The labels that reach the snapshotter below (containerd's FilterInheritedLabels). */
export function inheritedLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(labels).filter(
    ([key]) => key === TARGET_LABEL || key.startsWith(INHERITED_PREFIX),
  );
  return Object.fromEntries(kept);
}

/** Labels as they are stored: none with an empty value. @throws INVALID_ARGUMENT when one is too long */
export function checkedLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(labels)) {
    if (Buffer.byteLength(key) + Buffer.byteLength(value) > LABEL_BYTES_MAX) {
      throw invalidArgument(
        `info.Labels: label key and value greater than maximum size (${LABEL_BYTES_MAX} bytes), key: ${key.slice(0, 10)}`,
        { reason: "label-too-long" },
      );
    }
    if (value !== "") kept[key] = value;
  }
  return kept;
}

/** @throws INVALID_ARGUMENT */
export function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes > 0 && bytes <= KEY_BYTES_MAX && !key.includes("\0")) return;
  throw invalidArgument(`snapshot name must have 1 to ${KEY_BYTES_MAX} bytes, got ${bytes}`, {
    reason: "snapshot-name-invalid",
  });
}

export function rowMissing(key: string): LazuliError {
  return notFound(`snapshot ${key} does not exist`, { subject: key, reason: "snapshot-missing" });
}

export function parentMissing(parent: string): LazuliError {
  return notFound(`parent snapshot ${parent} does not exist`, { subject: parent, reason: "parent-missing" });
}

export function rowExists(key: string): LazuliError {
  return alreadyExists(`snapshot ${JSON.stringify(key)}`, { subject: key, reason: "snapshot-exists" });
}

export function hasCode(thrown: unknown, code: LazuliError["code"]): boolean {
  return thrown instanceof LazuliError && thrown.code === code;
}

/** The row's facts over those of the snapshot below. */
export function overlaidInfo(below: SnapshotInfo, row: NamespacedSnapshotRow): SnapshotInfo {
  const { key, parent, createdAt, updatedAt, labels } = row;
  return {
    name: key,
    parent,
    kind: below.kind,
    createdAt,
    updatedAt,
    labels: { ...below.labels, ...labels },
  };
}

export function unlease(
  transaction: Transaction,
  context: SnapshotContext,
  snapshot: { readonly snapshotter: string; readonly key: string },
): void {
  const { namespace, lease } = context;
  if (lease === undefined) return;
  const type = `snapshots/${snapshot.snapshotter}`;
  transaction.delete(leaseResources, [namespace, lease, type, snapshot.key]);
}

/** Whether a row has the key as its parent; looks at all rows of the namespace. */
export function hasChild(
  transaction: Transaction,
  place: { readonly namespace: string; readonly snapshotter: string; readonly key: string },
): boolean {
  for (const { value } of transaction.entries(namespacedSnapshots, [place.namespace, place.snapshotter])) {
    if (value.parent === place.key) return true;
  }
  return false;
}
