import type { Table, TableKey } from "./table.js";

export interface Change {
  readonly table: string;
  readonly key: TableKey;
  /** undefined: deleted. */
  readonly record: Buffer | undefined;
}

interface Reader {
  read(table: string, key: TableKey): Buffer | undefined;
}

interface Codec {
  encode<Value>(table: Table<Value>, value: Value): Buffer;
  decode<Value>(table: Table<Value>, key: TableKey, record: Buffer): Value;
}

/**
 * What one action reads and changes. Changes are kept aside until the action has returned, so that one that throws
 * leaves nothing behind; they lie over those of the actions before it in the same commit.
 */
export class Transaction implements Reader {
  readonly #base: Reader;
  readonly #codec: Codec;
  readonly #changes = new Map<string, Change>();

  constructor(base: Reader, codec: Codec) {
    this.#base = base;
    this.#codec = codec;
  }

  get<Value>(table: Table<Value>, key: TableKey): Value | undefined {
    const record = this.read(table.name, key);
    return record === undefined ? undefined : this.#codec.decode(table, key, record);
  }

  put<Value>(table: Table<Value>, key: TableKey, value: Value): void {
    const record = this.#codec.encode(table, value);
    this.#changes.set(place(table.name, key), { table: table.name, key, record });
  }

  delete<Value>(table: Table<Value>, key: TableKey): void {
    this.#changes.set(place(table.name, key), { table: table.name, key, record: undefined });
  }

  read(table: string, key: TableKey): Buffer | undefined {
    const change = this.#changes.get(place(table, key));
    return change === undefined ? this.#base.read(table, key) : change.record;
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0;
  }

  changes(): Iterable<Change> {
    return this.#changes.values();
  }

  /** Takes over the changes of an action that has returned. */
  absorb(other: Transaction): void {
    for (const change of other.changes()) this.#changes.set(place(change.table, change.key), change);
  }
}

function place(table: string, key: TableKey): string {
  return JSON.stringify([table, key]);
}
