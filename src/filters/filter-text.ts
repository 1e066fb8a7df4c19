import { invalidArgument } from "../errors/index.js";

/** Characters of one filter: a label's key and value are at most 4096. */
const FILTER_LENGTH_MAX = 16_384;

const controls: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};
const codeLengths: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** The text of a filter with a place in it. */
export class FilterText {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
    if (text.length > FILTER_LENGTH_MAX) throw this.bad(`want at most ${FILTER_LENGTH_MAX} characters`);
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#text.length;
  }

  peek(): string {
    return this.#text[this.#position] ?? "";
  }

  /** @returns whether there were some */
  skipSpaces(): boolean {
    return this.match(/\s*/y) !== undefined;
  }

  take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#position)) return false;
    this.#position += text.length;
    return true;
  }

  /** What matches here; the pattern is sticky. */
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined || found === "") return undefined;
    this.#position += found.length;
    return found;
  }

  /** A string in double quotes with Go's escapes. */
  quoted(): string {
    let value = "";
    const bytes: number[] = [];
    const flush = (): void => {
      if (bytes.length > 0) value += Buffer.from(bytes.splice(0)).toString("utf8");
    };
    this.take('"');
    while (!this.take('"')) {
      if (this.isAtEnd) throw this.bad("want a closing quote");
      const character = this.#text[this.#position]!;
      this.#position += 1;
      if (character !== "\\") {
        flush();
        value += character;
        continue;
      }
      const escaped = this.#escape();
      if (typeof escaped === "number") bytes.push(escaped);
      else {
        flush();
        value += escaped;
      }
    }
    flush();
    return value;
  }

  /** What stands between two of these characters, as it is: for patterns. */
  delimited(delimiter: string): string {
    this.take(delimiter);
    const end = this.#text.indexOf(delimiter, this.#position);
    if (end < 0) throw this.bad(`want a closing ${delimiter}`);
    const value = this.#text.slice(this.#position, end);
    this.#position = end + 1;
    return value;
  }

  bad(why: string): Error {
    return invalidArgument(
      `Cannot read filter at ${this.#position}: ${why}, got ${JSON.stringify(this.#text.slice(0, 200))}`,
      { reason: "filter-invalid" },
    );
  }

  /** A byte (as a number) or a text. */
  #escape(): number | string {
    const kind = this.peek();
    this.#position += 1;
    const control = controls[kind];
    if (control !== undefined) return control;
    const octal = /[0-7]{3}/y;
    octal.lastIndex = this.#position - 1;
    const digits = octal.exec(this.#text)?.[0];
    if (digits !== undefined) {
      this.#position += 2;
      return Number.parseInt(digits, 8) & 0xff;
    }
    const length = codeLengths[kind] ?? 0;
    const hex = this.#text.slice(this.#position, this.#position + length);
    if (length === 0 || hex.length !== length || !/^[0-9A-Fa-f]+$/.test(hex)) {
      throw this.bad("want one of Go's escapes after a backslash");
    }
    this.#position += length;
    const code = Number.parseInt(hex, 16);
    if (length === 2) return code;
    if (code > 0x10ffff) throw this.bad("want a code point up to 10FFFF");
    return String.fromCodePoint(code);
  }
}
