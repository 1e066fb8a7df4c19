import type { JsonValue } from "./record.js";

/** Text, or a number and a text (sorted by the number first). */
export type TableKey = string | readonly [number, string];

/** A table's name and how its values become JSON. Names and shapes are part of the layout on disk. */
export interface Table<Value> {
  readonly name: string;
  encode(value: Value): JsonValue;
  decode(value: JsonValue): Value;
}

/** Numbers by name: sequences, and the version of the layout. */
export const counters: Table<number> = {
  name: "counters",
  encode: (value) => value,
  decode: (value) => value as number,
};
