import type { KeyParts } from "./key.js";
import type { JsonValue } from "./record.js";

/** A table's name and how its values become JSON. Names and shapes are part of the layout on disk. */
export interface Table<Value> {
  readonly name: string;
  encode(value: Value): JsonValue;
  /** What the key says is not stored a second time. */
  decode(value: JsonValue, key: KeyParts): Value;
}

export interface Entry<Value> {
  readonly key: KeyParts;
  readonly value: Value;
}

/** Numbers by name: sequences, and the version of the layout. */
export const counters: Table<number> = {
  name: "counters",
  encode: (value) => value,
  decode: (value) => value as number,
};
