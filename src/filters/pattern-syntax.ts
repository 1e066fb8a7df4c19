import { invalidArgument } from "../errors/index.js";

/** A pattern as a tree. `test` gets a code point. */
export type PatternNode =
  | { readonly kind: "one"; readonly test: (codePoint: number) => boolean }
  | { readonly kind: "start" | "end" }
  | { readonly kind: "sequence" | "choice"; readonly nodes: readonly PatternNode[] }
  | { readonly kind: "repeat"; readonly node: PatternNode; readonly min: number; readonly max: number };

/** Characters of a pattern. */
const PATTERN_LENGTH_MAX = 1024;
/** Groups in groups. */
const DEPTH_MAX = 32;
/** Largest count in `{m,n}`, as RE2 has it. */
const COUNT_MAX = 1000;
const NEWLINE = 10;

const isDigit = (c: number): boolean => c >= 48 && c <= 57;
const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13 && c !== 11);
const isWord = (c: number): boolean =>
  isDigit(c) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95;

const classes: Readonly<Record<string, (codePoint: number) => boolean>> = {
  d: isDigit,
  D: (c) => !isDigit(c),
  s: isSpace,
  S: (c) => !isSpace(c),
  w: isWord,
  W: (c) => !isWord(c),
};
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, a: 7 };

export function badPattern(pattern: string, why: string): Error {
  return invalidArgument(`Cannot read the pattern of a filter: ${why}, got ${JSON.stringify(pattern)}`, {
    reason: "filter-invalid",
  });
}

/**
 * Reads the part of RE2's syntax that filters use: literals, `.`, classes, groups, `|`, `* + ? {m,n}`, `^ $`.
 * @throws INVALID_ARGUMENT for the rest
 */
export function parsePattern(pattern: string): PatternNode {
  if (pattern.length > PATTERN_LENGTH_MAX) {
    throw badPattern(pattern.slice(0, 80), `want at most ${PATTERN_LENGTH_MAX} characters`);
  }
  return new PatternParser(pattern).parse();
}

class PatternParser {
  readonly #pattern: string;
  readonly #characters: readonly string[];
  #position = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
    this.#characters = [...pattern];
  }

  parse(): PatternNode {
    const node = this.#choice(0);
    if (this.#peek() !== undefined) throw this.#bad("want no ) without (");
    return node;
  }

  #choice(depth: number): PatternNode {
    if (depth > DEPTH_MAX) throw this.#bad(`want at most ${DEPTH_MAX} groups in groups`);
    const nodes = [this.#sequence(depth)];
    while (this.#take("|")) nodes.push(this.#sequence(depth));
    return nodes.length === 1 ? nodes[0]! : { kind: "choice", nodes };
  }

  #sequence(depth: number): PatternNode {
    const nodes: PatternNode[] = [];
    for (let next = this.#peek(); next !== undefined && next !== "|" && next !== ")"; next = this.#peek()) {
      nodes.push(this.#repeated(this.#atom(depth)));
    }
    return { kind: "sequence", nodes };
  }

  #repeated(node: PatternNode): PatternNode {
    const counts = this.#counts();
    if (counts === undefined) return node;
    // Asking for the shortest match does not change whether there is one.
    this.#take("?");
    if (this.#counts() !== undefined) throw this.#bad("want one count after a part");
    return { kind: "repeat", node, ...counts };
  }

  #counts(): { min: number; max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { min: 0, max: 1 };
    const rest = this.#characters.slice(this.#position, this.#position + 12).join("");
    const match = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(rest);
    if (match === null) return undefined;
    this.#position += match[0].length;
    const min = Number(match[1]);
    const open = match[2] === undefined ? min : Number.POSITIVE_INFINITY;
    const max = match[3] === undefined ? open : Number(match[3]);
    if (min > max || min > COUNT_MAX || (max > COUNT_MAX && max !== Number.POSITIVE_INFINITY)) {
      throw this.#bad(`want counts from 0 to ${COUNT_MAX}, the smaller first`);
    }
    return { min, max };
  }

  #atom(depth: number): PatternNode {
    const character = this.#next();
    switch (character) {
      case "(": {
        if (this.#take("?") && !this.#take(":")) throw this.#bad("want no flags or assertions in groups");
        const node = this.#choice(depth + 1);
        if (!this.#take(")")) throw this.#bad("want a ) for each (");
        return node;
      }
      case "[":
        return { kind: "one", test: this.#set() };
      case ".":
        return { kind: "one", test: (c) => c !== NEWLINE };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "*":
      case "+":
      case "?":
        throw this.#bad(`want a part before ${character}`);
      case "\\":
        return { kind: "one", test: this.#escape() };
      default:
        return { kind: "one", test: equals(character.codePointAt(0)!) };
    }
  }

  #escape(): (codePoint: number) => boolean {
    const character = this.#next();
    const named = classes[character];
    if (named !== undefined) return named;
    return equals(this.#escaped(character));
  }

  #escaped(character: string): number {
    const control = controls[character];
    if (control !== undefined) return control;
    if (/[A-Za-z0-9]/.test(character)) throw this.#bad(`want no \\${character}`);
    return character.codePointAt(0)!;
  }

  #set(): (codePoint: number) => boolean {
    const isNegated = this.#take("^");
    const tests: ((codePoint: number) => boolean)[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== "]"; isFirst = false) {
      const character = this.#next();
      if (character === "[" && this.#peek() === ":") throw this.#bad("want no [: :]");
      const named = character === "\\" ? classes[this.#peek() ?? ""] : undefined;
      if (named !== undefined) {
        this.#next();
        tests.push(named);
        continue;
      }
      const low = character === "\\" ? this.#escaped(this.#next()) : character.codePointAt(0)!;
      tests.push(this.#range(low));
    }
    this.#next();
    const matches = (c: number): boolean => tests.some((test) => test(c));
    return isNegated ? (c) => !matches(c) : matches;
  }

  #range(low: number): (codePoint: number) => boolean {
    const after = this.#characters[this.#position + 1];
    if (this.#peek() !== "-" || after === "]" || after === undefined) return equals(low);
    this.#next();
    const character = this.#next();
    const high = character === "\\" ? this.#escaped(this.#next()) : character.codePointAt(0)!;
    if (high < low) throw this.#bad("want the smaller end of a range first");
    return (c) => c >= low && c <= high;
  }

  #peek(): string | undefined {
    return this.#characters[this.#position];
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#position += 1;
    return true;
  }

  #next(): string {
    const character = this.#peek();
    if (character === undefined) throw this.#bad("want more after its end");
    this.#position += 1;
    return character;
  }

  #bad(why: string): Error {
    return badPattern(this.#pattern, why);
  }
}

function equals(wanted: number): (codePoint: number) => boolean {
  return (codePoint) => codePoint === wanted;
}
