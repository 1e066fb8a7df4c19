import {
  compareKeys,
  type KeyParts,
  keyParts,
  keyText,
  requireKey,
  startsWith,
  type TableKey,
} from "./key.js";
import { decodeRecord, encodeRecord } from "./record.js";
import type { Entry, Table } from "./table.js";

export interface Change {
  readonly table: string;
  readonly key: KeyParts;
  /** undefined: deleted. */
  readonly record: Buffer | undefined;
}

export interface StoredRecord {
  readonly key: KeyParts;
  readonly record: Buffer;
}

/** What a transaction lies on: the durable state, or the changes of the actions before it. */
export interface Reader {
  read(table: string, key: KeyParts): Buffer | undefined;
  /** In key order; consumed before anything is awaited. */
  records(table: string, prefix: KeyParts): Iterable<StoredRecord>;
}

/**
 * What one action reads and changes. Changes are kept aside until the action has returned, so that one that throws
 * leaves nothing behind; they lie over those of the actions before it in the same commit.
 */
export class Transaction implements Reader {
  readonly #base: Reader;
  /** By table, then by key. */
  readonly #changes = new Map<string, Map<string, Change>>();

  constructor(base: Reader) {
    this.#base = base;
  }

  get<Value>(table: Table<Value>, key: TableKey): Value | undefined {
    const parts = keyParts(key);
    const record = this.read(table.name, parts);
    return record === undefined ? undefined : decodeRow(table, parts, record);
  }

  /** The values whose keys begin with these parts, in key order. Changes made while it is consumed don't show. */
  *entries<Value>(table: Table<Value>, prefix: KeyParts): Iterable<Entry<Value>> {
    for (const { key, record } of this.records(table.name, prefix)) {
      yield { key, value: decodeRow(table, key, record) };
    }
  }

  /** @throws INVALID_ARGUMENT when the key is too long */
  put<Value>(table: Table<Value>, key: TableKey, value: Value): void {
    this.#change({ table: table.name, key: keyParts(key), record: encodeRecord(table.encode(value)) });
  }

  /** @throws INVALID_ARGUMENT when the key is too long */
  delete<Value>(table: Table<Value>, key: TableKey): void {
    this.#change({ table: table.name, key: keyParts(key), record: undefined });
  }

  read(table: string, key: KeyParts): Buffer | undefined {
    const change = this.#changes.get(table)?.get(keyText(key));
    return change === undefined ? this.#base.read(table, key) : change.record;
  }

  records(table: string, prefix: KeyParts): Iterable<StoredRecord> {
    const stored = this.#base.records(table, prefix);
    const pending = this.#changes.get(table);
    if (pending === undefined) return stored;
    const changes = [...pending.values()].filter(({ key }) => startsWith(key, prefix));
    if (changes.length === 0) return stored;
    changes.sort((one, other) => compareKeys(one.key, other.key));
    return merged(stored, changes);
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0;
  }

  *changes(): Iterable<Change> {
    for (const ofTable of this.#changes.values()) yield* ofTable.values();
  }

  /** Takes over the changes of an action that has returned. */
  absorb(changes: Iterable<Change>): void {
    for (const change of changes) this.#keep(change);
  }

  #change(change: Change): void {
    requireKey(change.table, change.key);
    this.#keep(change);
  }

  #keep(change: Change): void {
    let ofTable = this.#changes.get(change.table);
    if (ofTable === undefined) {
      ofTable = new Map();
      this.#changes.set(change.table, ofTable);
    }
    ofTable.set(keyText(change.key), change);
  }
}

export function decodeRow<Value>(table: Table<Value>, key: KeyParts, record: Buffer): Value {
  return table.decode(decodeRecord(record, table.name, key), key);
}

function* merged(stored: Iterable<StoredRecord>, changes: readonly Change[]): Iterable<StoredRecord> {
  let next = 0;
  for (const row of stored) {
    let order = 1;
    for (; next < changes.length; next += 1) {
      const { key, record } = changes[next]!;
      order = compareKeys(key, row.key);
      if (order > 0) break;
      if (record !== undefined) yield { key, record };
      if (order === 0) {
        next += 1;
        break;
      }
    }
    if (order !== 0) yield row;
  }
  for (; next < changes.length; next += 1) {
    const { key, record } = changes[next]!;
    if (record !== undefined) yield { key, record };
  }
}
