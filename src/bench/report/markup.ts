import { plainText } from "./figures.js";

/** Text that is markup already. Only html`` makes it, so that nothing of a stranger's gets in without being escaped. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Piece = string | number | Markup | readonly Markup[] | undefined;

const TEXT_CHARACTERS_MAX = 600;
const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A template of markup: texts are cleaned, cut and escaped, numbers are written short, undefined is nothing. */
export function html(pieces: TemplateStringsArray, ...values: readonly Piece[]): Markup {
  let text = pieces[0]!;
  for (const [index, value] of values.entries()) text += `${piece(value)}${pieces[index + 1]!}`;
  return new Markup(text);
}

/** Where something lies on an axis, as a length of SVG: `12.34%`. */
export function percent(value: number, total: number): string {
  if (!(total > 0) || !Number.isFinite(value)) return "0%";
  return `${shortNumber(Math.min(100, Math.max(0, (value / total) * 100)))}%`;
}

function piece(value: Piece): string {
  if (value === undefined) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "number") return shortNumber(value);
  if (typeof value === "string") return escaped(plainText(value, TEXT_CHARACTERS_MAX));
  return value.map(({ text }) => text).join("");
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

function shortNumber(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
