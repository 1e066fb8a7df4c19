import { invalidArgument } from "../../errors/index.js";

type Table = Readonly<Record<string, unknown>>;

/** Reads one value that JSON gave, at a place that a message can name. */
export class Field {
  readonly #value: unknown;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    this.#value = value;
    this.#path = path;
  }

  at(key: string): Field {
    const table = this.#value;
    if (typeof table !== "object" || table === null || Array.isArray(table)) throw this.#wrong("an object");
    return new Field(
      Object.hasOwn(table, key) ? (table as Table)[key] : undefined,
      this.#path === "" ? key : `${this.#path}.${key}`,
    );
  }

  text(): string {
    if (typeof this.#value !== "string") throw this.#wrong("a text");
    return this.#value;
  }

  oneOf<Word extends string | number>(words: readonly Word[]): Word {
    const word = words.find((known) => known === this.#value);
    if (word === undefined) throw this.#wrong(words.join(" or "));
    return word;
  }

  flag(): boolean {
    if (typeof this.#value !== "boolean") throw this.#wrong("true or false");
    return this.#value;
  }

  number(): number {
    if (typeof this.#value !== "number" || !Number.isFinite(this.#value)) throw this.#wrong("a number");
    return this.#value;
  }

  /** A number that is no less than 0: times, sizes, figures. */
  amount(): number {
    const value = this.number();
    if (value < 0) throw this.#wrong("a number that is at least 0");
    return value;
  }

  count(): number {
    const value = this.amount();
    if (!Number.isSafeInteger(value)) throw this.#wrong("a whole number");
    return value;
  }

  /** Null and nothing are the same: JSON has no undefined. */
  optional<Value>(read: (field: Field) => Value): Value | undefined {
    return this.#value === undefined || this.#value === null ? undefined : read(this);
  }

  list<Value>(itemsMax: number, read: (field: Field) => Value): Value[] {
    const list = this.#value;
    if (!Array.isArray(list)) throw this.#wrong("a list");
    if (list.length > itemsMax) throw this.#wrong(`a list of at most ${itemsMax}`);
    return list.map((value, index) => read(new Field(value, `${this.#path}[${index}]`)));
  }

  /** The value as JSON again, for a reader of its own. */
  bytes(): Buffer {
    return Buffer.from(JSON.stringify(this.#value));
  }

  #wrong(wanted: string): Error {
    const shown = JSON.stringify(this.#value)?.slice(0, 60) ?? "nothing";
    return invalidArgument(
      `Cannot read a benchmark's report: want ${wanted} at ${this.#path}, got ${shown}`,
      {
        reason: "report-invalid",
        hint: "The file must be what `lazuli bench … --json` has written",
      },
    );
  }
}
