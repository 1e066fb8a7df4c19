import { invalidArgument, type LazuliError } from "../errors/index.js";

/** Values in one list of a spec file. */
const LIST_MAX = 4096;
const U32_MAX = 0xffff_ffff;

export function badSpec(what: string, wanted: string, got: unknown): LazuliError {
  return invalidArgument(`Cannot take ${what}: want ${wanted}, got ${shown(got)}`, {
    reason: "cdi-spec-invalid",
  });
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Reads the fields of one object; each that is asked for is known, and any other is a mistake. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #what: string;
  readonly #asked = new Set<string>();

  constructor(value: unknown, what: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw badSpec(what, "an object", value);
    // An absent field and null are the same, as in Go.
    this.#values = new Map(
      Object.entries(value).filter(([, field]) => field !== null && field !== undefined),
    );
    this.#what = what;
  }

  raw(key: string): unknown {
    this.#asked.add(key);
    return this.#values.get(key);
  }

  /** A text, or undefined where it is absent or empty. */
  text(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined || value === "") return undefined;
    return textOf(value, this.#at(key));
  }

  requiredText(key: string): string {
    const value = this.text(key);
    if (value === undefined) throw badSpec(this.#at(key), "a text that is not empty", value);
    return value;
  }

  integer(key: string, range: { min: number; max: number }): number | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < range.min || value > range.max) {
      throw badSpec(this.#at(key), `an integer from ${range.min} to ${range.max}`, value);
    }
    return value;
  }

  u32(key: string): number | undefined {
    return this.integer(key, { min: 0, max: U32_MAX });
  }

  boolean(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value !== undefined && typeof value !== "boolean")
      throw badSpec(this.#at(key), "true or false", value);
    return value;
  }

  list<T>(key: string, read: (value: unknown, what: string) => T): T[] {
    const value = this.raw(key) ?? [];
    if (!Array.isArray(value)) throw badSpec(this.#at(key), "a list", value);
    if (value.length > LIST_MAX) throw badSpec(this.#at(key), `at most ${LIST_MAX} entries`, value.length);
    return value.map((entry, index) => read(entry, `${this.#at(key)}[${index}]`));
  }

  texts(key: string): string[] {
    return this.list(key, textOf);
  }

  /** Names and texts. */
  textTable(key: string): Record<string, string> {
    const value = this.raw(key);
    if (value === undefined) return {};
    const table = new Fields(value, this.#at(key));
    return Object.fromEntries([...table.#values].map(([name, text]) => [name, textOf(text, this.#at(key))]));
  }

  /** @throws INVALID_ARGUMENT when there is a field that nobody asked for */
  end(): void {
    for (const key of this.#values.keys()) {
      if (!this.#asked.has(key)) throw badSpec(this.#what, "known fields only", key);
    }
  }

  #at(key: string): string {
    return `${this.#what}.${key}`;
  }
}

/** YAML reads an unquoted 0 as a number where a name is meant; Go's readers take it. */
export function textOf(value: unknown, what: string): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") throw badSpec(what, "a text", value);
  if (value.includes("\0")) throw badSpec(what, "a text without a zero byte", value);
  return value;
}
