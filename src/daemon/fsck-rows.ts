import { LazuliError } from "../errors/index.js";
import {
  containers,
  contents,
  counters,
  images,
  ingests,
  type KeyParts,
  leaseResources,
  leases,
  type Metadata,
  namespacedSnapshots,
  namespaces,
  remoteTargets,
  sandboxes,
  snapshotRows,
  type Table,
} from "../metadata/index.js";

/** Every table that the check reads. */
export const checkedTables: readonly Table<never>[] = [
  namespaces,
  images,
  contents,
  ingests,
  leases,
  leaseResources,
  namespacedSnapshots,
  containers,
  sandboxes,
  snapshotRows,
  remoteTargets,
  counters,
] as unknown as readonly Table<never>[];

export interface RawRow {
  readonly key: KeyParts;
  readonly record: Buffer;
}

/** The records of a table as they are stored, damaged ones too. */
export async function rawRows(metadata: Metadata, table: string): Promise<RawRow[]> {
  return await metadata.write((transaction) =>
    Array.from(transaction.records(table, []), ({ key, record }) => ({ key, record: Buffer.from(record) })),
  );
}

/** The values of a table that can be read. */
export async function soundRows<Value>(metadata: Metadata, table: Table<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for (const { key } of await rawRows(metadata, table.name)) {
    const value = soundRow(metadata, table, key);
    if (value !== undefined) values.push(value);
  }
  return values;
}

/** undefined: missing or damaged. */
export function soundRow<Value>(metadata: Metadata, table: Table<Value>, key: KeyParts): Value | undefined {
  try {
    return metadata.get(table, key);
  } catch (thrown) {
    if (isDamage(thrown)) return undefined;
    throw thrown;
  }
}

/** A wrong checksum, or a right one over values that no lazuli writes. */
export function isDamage(thrown: unknown): boolean {
  const { code } = LazuliError.from(thrown);
  return (
    code === "DATA_LOSS" ||
    code === "INVALID_ARGUMENT" ||
    thrown instanceof TypeError ||
    thrown instanceof SyntaxError ||
    thrown instanceof RangeError
  );
}
