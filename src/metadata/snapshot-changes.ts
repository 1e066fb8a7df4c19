import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "../errors/index.js";
import { remoteTargets, type SnapshotRow, snapshotRows } from "./snapshot-row.js";
import type { Transaction } from "./transaction.js";

/** Longest name in bytes of UTF-8; LMDB's keys end at 1978 bytes, and a target is stored beside a number. */
const NAME_BYTES_MAX = 1024;

/** The messages below are containerd's (core/snapshots/storage): clients see them and some look into them. */
export function requireRow(transaction: Transaction, name: string): SnapshotRow {
  const row = transaction.get(snapshotRows, name);
  if (row === undefined) throw missing(name);
  return row;
}

export function missing(name: string): Error {
  return notFound("snapshot does not exist", { subject: name, reason: "snapshot-missing" });
}

/** @throws ALREADY_EXISTS; INVALID_ARGUMENT for a name that can't be stored */
export function requireFree(transaction: Transaction, name: string): void {
  const bytes = Buffer.byteLength(name, "utf8");
  if (bytes === 0 || bytes > NAME_BYTES_MAX || name.includes("\0")) {
    throw invalidArgument(`snapshot name must have 1 to ${NAME_BYTES_MAX} bytes, got ${bytes}`, {
      reason: "snapshot-name-invalid",
    });
  }
  if (transaction.get(snapshotRows, name) !== undefined) {
    throw alreadyExists(`snapshot ${name}`, { subject: name, reason: "snapshot-exists" });
  }
}

/** The parent's row, or undefined for "". @throws NOT_FOUND; INVALID_ARGUMENT when it is not committed */
export function requireParent(transaction: Transaction, parent: string): SnapshotRow | undefined {
  if (parent === "") return undefined;
  const row = transaction.get(snapshotRows, parent);
  if (row === undefined) {
    throw notFound(`missing parent ${JSON.stringify(parent)} bucket`, {
      subject: parent,
      reason: "parent-missing",
    });
  }
  if (row.kind !== "committed") {
    throw invalidArgument(`parent ${JSON.stringify(parent)} is not committed snapshot`, {
      subject: parent,
      reason: "parent-not-committed",
    });
  }
  return row;
}

/** Writes a new row and counts it at its parent. */
export function insertRow(transaction: Transaction, row: SnapshotRow, parent: SnapshotRow | undefined): void {
  transaction.put(snapshotRows, row.name, row);
  if (parent !== undefined) {
    transaction.put(snapshotRows, parent.name, { ...parent, childCount: parent.childCount + 1 });
  }
}

/** @throws FAILED_PRECONDITION when it has children */
export function deleteRow(transaction: Transaction, row: SnapshotRow): void {
  if (row.childCount > 0) {
    throw failedPrecondition("cannot remove snapshot with child", {
      subject: row.name,
      reason: "snapshot-has-children",
    });
  }
  transaction.delete(snapshotRows, row.name);
  const parent = row.parent === "" ? undefined : requireRow(transaction, row.parent);
  if (parent !== undefined) {
    transaction.put(snapshotRows, parent.name, { ...parent, childCount: parent.childCount - 1 });
  }
  if (row.target === "") return;
  const place: [number, string] = [parent?.id ?? 0, row.target];
  if (transaction.get(remoteTargets, place) === row.name) transaction.delete(remoteTargets, place);
}

/** containerd's label with the name (a chain id) that an extraction is going to have. */
export const TARGET_LABEL = "containerd.io/snapshot.ref";

/** Labels as they are stored: none with an empty value. */
export function storedLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}
