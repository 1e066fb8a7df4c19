import { invalidArgument, type LazuliError, resourceExhausted } from "../errors/index.js";

/** How much a stranger's JSON may cost. Everything is checked before the first value is made. */
export interface JsonBudget {
  readonly maxBytes: number;
  /** Brackets inside brackets; 1 is a flat object. */
  readonly maxDepth: number;
  /** Values of every kind, keys left out. */
  readonly maxNodes: number;
}

/** Where the elements of one big array of the top-level object lie, so that they can be parsed in batches. */
export interface ArraySpan {
  /** Of the opening bracket. */
  readonly start: number;
  /** Of the closing bracket. */
  readonly end: number;
  readonly count: number;
  /** Positions of the commas between two batches. */
  readonly cuts: readonly number[];
}

/** Elements in a batch: enough to make the cost of a call small, few enough to live in the young generation. */
export const BATCH_ELEMENTS = 512;
/** Keys of one object that are compared with each other; an object with more gets a set. */
const LINEAR_KEYS_MAX = 24;

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export function jsonInvalid(what: string, cause?: unknown): LazuliError {
  return invalidArgument(`Cannot read JSON: ${what}`, { reason: "json-invalid", cause });
}

/**
 * One pass over the bytes that counts depth and values and finds keys that an object has twice. It does not check the
 * grammar: what it accepts still goes to JSON.parse, and for all that JSON.parse accepts its counts are right.
 */
export class JsonScanner {
  readonly #bytes: Uint8Array;
  readonly #budget: JsonBudget;
  readonly #arrayKey: string | undefined;
  /** One for each open bracket: true for an object. */
  readonly #objects: boolean[] = [];
  /** First key of each open object in the three stacks below. */
  readonly #keyBases: number[] = [];
  readonly #keyStarts: number[] = [];
  readonly #keyEnds: number[] = [];
  readonly #keyHashes: number[] = [];
  readonly #keySets: (Set<string> | undefined)[] = [];
  #depth = 0;
  #keyCount = 0;
  #nodes = 1;
  #arrayNext = false;
  #arrayStart = -1;
  #arrayEnd = -1;
  #commas = 0;
  readonly #cuts: number[] = [];

  constructor(bytes: Uint8Array, budget: JsonBudget, arrayKey?: string) {
    this.#bytes = bytes;
    this.#budget = budget;
    this.#arrayKey = arrayKey;
  }

  /** @throws RESOURCE_EXHAUSTED above the budget, INVALID_ARGUMENT for a duplicate key or an open end */
  scan(): ArraySpan | undefined {
    const bytes = this.#bytes;
    const length = bytes.length;
    let keyExpected = false;
    for (let at = 0; at < length; at++) {
      const byte = bytes[at]!;
      if (byte === QUOTE) {
        const start = at + 1;
        let escaped = false;
        for (at = start; at < length && bytes[at] !== QUOTE; at++) {
          if (bytes[at] === BACKSLASH) {
            escaped = true;
            at += 1;
          }
        }
        if (at >= length) throw jsonInvalid("a text has no end");
        if (keyExpected) this.#noteKey(start, at, escaped);
        else this.#arrayNext = false;
        keyExpected = false;
      } else if (byte === COMMA) {
        keyExpected = this.#depth > 0 && this.#objects[this.#depth - 1] === true;
        this.#noteComma(at);
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        keyExpected = byte === OPEN_OBJECT;
        this.#open(at, keyExpected);
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        this.#close(at);
        keyExpected = false;
      }
    }
    if (this.#depth !== 0) throw jsonInvalid("a bracket is not closed");
    return this.#span();
  }

  #span(): ArraySpan | undefined {
    if (this.#arrayEnd < 0) return undefined;
    let first = this.#arrayStart + 1;
    while (first < this.#arrayEnd && this.#bytes[first]! <= 0x20) first += 1;
    const count = first === this.#arrayEnd ? 0 : this.#commas + 1;
    return { start: this.#arrayStart, end: this.#arrayEnd, count, cuts: this.#cuts };
  }

  #countNode(): void {
    this.#nodes += 1;
    if (this.#nodes > this.#budget.maxNodes) {
      throw resourceExhausted(`Cannot read JSON: want at most ${this.#budget.maxNodes} values`, {
        reason: "json-too-many-values",
      });
    }
  }

  #open(at: number, isObject: boolean): void {
    this.#countNode();
    if (this.#depth >= this.#budget.maxDepth) {
      throw resourceExhausted(`Cannot read JSON: want at most ${this.#budget.maxDepth} levels`, {
        reason: "json-too-deep",
      });
    }
    if (this.#arrayNext) {
      if (!isObject) this.#arrayStart = at;
      this.#arrayNext = false;
    }
    this.#objects[this.#depth] = isObject;
    this.#keyBases[this.#depth] = this.#keyCount;
    this.#keySets[this.#depth] = undefined;
    this.#depth += 1;
  }

  #close(at: number): void {
    if (this.#depth === 0) throw jsonInvalid("a bracket is closed that was not opened");
    this.#depth -= 1;
    this.#keyCount = this.#keyBases[this.#depth]!;
    if (this.#depth !== 1 || this.#arrayStart < 0 || this.#arrayEnd >= 0) return;
    // This byte goes to no parser: the head gets an empty array in the place of this one.
    if (this.#bytes[at] !== CLOSE_ARRAY) throw jsonInvalid("an array is closed by a brace");
    this.#arrayEnd = at;
  }

  #noteComma(at: number): void {
    this.#countNode();
    this.#arrayNext = false;
    if (this.#depth !== 2 || this.#arrayStart < 0 || this.#arrayEnd >= 0) return;
    this.#commas += 1;
    if (this.#commas % BATCH_ELEMENTS === 0) this.#cuts.push(at);
  }

  #noteKey(start: number, end: number, escaped: boolean): void {
    if (this.#depth === 1 && this.#arrayKey !== undefined) {
      this.#arrayNext = this.#keyText(start, end) === this.#arrayKey;
    }
    const base = this.#keyBases[this.#depth - 1]!;
    if (escaped || this.#keySets[this.#depth - 1] !== undefined || this.#keyCount - base >= LINEAR_KEYS_MAX) {
      this.#noteKeyInSet(start, end, base);
      return;
    }
    let hash = end - start;
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + this.#bytes[at]!) | 0;
    for (let index = base; index < this.#keyCount; index++) {
      if (this.#keyHashes[index] === hash && this.#isSameKey(index, start, end)) {
        throw this.#duplicate(start, end);
      }
    }
    this.#keyStarts[this.#keyCount] = start;
    this.#keyEnds[this.#keyCount] = end;
    this.#keyHashes[this.#keyCount] = hash;
    this.#keyCount += 1;
  }

  #noteKeyInSet(start: number, end: number, base: number): void {
    let known = this.#keySets[this.#depth - 1];
    if (known === undefined) {
      known = new Set();
      this.#keySets[this.#depth - 1] = known;
      for (let index = base; index < this.#keyCount; index++) {
        known.add(this.#keyText(this.#keyStarts[index]!, this.#keyEnds[index]!));
      }
    }
    const key = this.#keyText(start, end);
    if (known.has(key)) throw this.#duplicate(start, end);
    known.add(key);
  }

  #isSameKey(index: number, start: number, end: number): boolean {
    const other = this.#keyStarts[index]!;
    if (this.#keyEnds[index]! - other !== end - start) return false;
    for (let at = 0; at < end - start; at++) {
      if (this.#bytes[other + at] !== this.#bytes[start + at]) return false;
    }
    return true;
  }

  #keyText(start: number, end: number): string {
    const { buffer, byteOffset } = this.#bytes;
    const text = Buffer.from(buffer, byteOffset + start, end - start).toString("utf8");
    if (!text.includes("\\")) return text;
    try {
      return String(JSON.parse(`"${text}"`));
    } catch (error) {
      throw jsonInvalid("a key has a wrong escape", error);
    }
  }

  #duplicate(start: number, end: number): LazuliError {
    const key = this.#keyText(start, Math.min(end, start + 80));
    return invalidArgument(`Cannot read JSON: an object has the key "${key}" twice`, {
      reason: "json-duplicate-key",
    });
  }
}
