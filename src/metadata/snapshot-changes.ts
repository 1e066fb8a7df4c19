import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "../errors/index.js";
import type { SnapshotRow, SnapshotTables } from "./snapshot-row.js";
import type { Transaction } from "./transaction.js";

/** One snapshotter's tables, and who reads them. */
export interface SnapshotView {
  readonly transaction: Pick<Transaction, "get">;
  readonly tables: SnapshotTables;
}

export interface SnapshotChange extends SnapshotView {
  readonly transaction: Transaction;
}

/** Longest name in bytes of UTF-8; LMDB's keys end at 1978 bytes, and a target is stored beside a number. */
const NAME_BYTES_MAX = 1024;

/** The messages below are containerd's (core/snapshots/storage): clients see them and some look into them. */
export function requireRow({ transaction, tables }: SnapshotView, name: string): SnapshotRow {
  const row = transaction.get(tables.rows, name);
  if (row === undefined) throw missing(name);
  return row;
}

export function missing(name: string): Error {
  return notFound("snapshot does not exist", { subject: name, reason: "snapshot-missing" });
}

/** @throws ALREADY_EXISTS; INVALID_ARGUMENT for a name that can't be stored */
export function requireFree({ transaction, tables }: SnapshotView, name: string): void {
  const bytes = Buffer.byteLength(name, "utf8");
  if (bytes === 0 || bytes > NAME_BYTES_MAX || name.includes("\0")) {
    throw invalidArgument(`snapshot name must have 1 to ${NAME_BYTES_MAX} bytes, got ${bytes}`, {
      reason: "snapshot-name-invalid",
    });
  }
  if (transaction.get(tables.rows, name) !== undefined) {
    throw alreadyExists(`snapshot ${name}`, { subject: name, reason: "snapshot-exists" });
  }
}

/** The parent's row, or undefined for "". @throws NOT_FOUND; INVALID_ARGUMENT when it is not committed */
export function requireParent(
  { transaction, tables }: SnapshotView,
  parent: string,
): SnapshotRow | undefined {
  if (parent === "") return undefined;
  const row = transaction.get(tables.rows, parent);
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
export function insertRow(
  { transaction, tables }: SnapshotChange,
  row: SnapshotRow,
  parent: SnapshotRow | undefined,
): void {
  transaction.put(tables.rows, row.name, row);
  if (parent !== undefined) {
    transaction.put(tables.rows, parent.name, { ...parent, childCount: parent.childCount + 1 });
  }
}

/** @throws FAILED_PRECONDITION when it has children */
export function deleteRow({ transaction, tables }: SnapshotChange, row: SnapshotRow): void {
  if (row.childCount > 0) {
    throw failedPrecondition("cannot remove snapshot with child", {
      subject: row.name,
      reason: "snapshot-has-children",
    });
  }
  transaction.delete(tables.rows, row.name);
  const parent = row.parent === "" ? undefined : requireRow({ transaction, tables }, row.parent);
  if (parent !== undefined) {
    transaction.put(tables.rows, parent.name, { ...parent, childCount: parent.childCount - 1 });
  }
  if (row.target === "") return;
  const place: [number, string] = [parent?.id ?? 0, row.target];
  if (transaction.get(tables.targets, place) === row.name) transaction.delete(tables.targets, place);
}

/** containerd's label with the name (a chain id) that an extraction is going to have. */
export const TARGET_LABEL = "containerd.io/snapshot.ref";

/** Labels as they are stored: none with an empty value. */
export function storedLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}
