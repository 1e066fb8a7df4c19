import { invalidArgument } from "../errors/index.js";

/** Characters of one filter: a label's key and value are at most 4096. */
const FILTER_LENGTH_MAX = 16_384;
/** Characters of it in an error. */
const TOLD_LENGTH_MAX = 512;

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

  get position(): number {
    return this.#position;
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
    const start = this.#position;
    this.take('"');
    while (!this.take('"')) {
      if (this.isAtEnd || this.peek() === "\n") throw this.bad("quoted literal not terminated", start);
      const character = this.#text[this.#position]!;
      this.#position += 1;
      if (character !== "\\") {
        flush();
        value += character;
        continue;
      }
      const escaped = this.#escape(start);
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
    const start = this.#position;
    this.take(delimiter);
    const end = this.#text.indexOf(delimiter, this.#position);
    if (end < 0) throw this.bad("quoted literal not terminated", start);
    const value = this.#text.slice(this.#position, end);
    this.#position = end + 1;
    return value;
  }

  /** An error in containerd's words, which clients show: with the text, and a mark around one character of it. */
  bad(why: string, at = this.#position): Error {
    const text = this.#text.slice(0, TOLD_LENGTH_MAX);
    const place = at < text.length ? `${text.slice(0, at)} >|${text[at]}|< ${text.slice(at + 1)}` : text;
    return invalidArgument(`filters: parse error: [${place}]: ${why}`, { reason: "filter-invalid" });
  }

  /** A byte (as a number) or a text. */
  #escape(start: number): number | string {
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
    if (length === 0 && !/[0-7]/.test(kind)) throw this.bad("illegal escape sequence", start);
    if (length === 0 || hex.length !== length || !/^[0-9A-Fa-f]+$/.test(hex)) {
      throw this.bad("illegal numeric escape sequence", start);
    }
    this.#position += length;
    const code = Number.parseInt(hex, 16);
    if (length === 2) return code;
    if (code > 0x10ffff) throw this.bad("unquoting failed: invalid syntax", start);
    return String.fromCodePoint(code);
  }
}
