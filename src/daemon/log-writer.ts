import { type LogLevel, type LogRecord, logChannel } from "../observe/index.js";

const severities: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Characters of one fact that reach a line; a longer one is cut, so that a stranger's text can't fill the log. */
const FACT_LENGTH_MAX = 4096;

export interface LogWriterOptions {
  readonly level: LogLevel;
  readonly format: "json" | "text";
  /** Takes one whole line with its end. */
  readonly write: (line: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Writes every log record from the given level up until it is disposed. */
export function writeLogs(options: LogWriterOptions): Disposable {
  const now = options.now ?? Date.now;
  const format = options.format === "json" ? jsonLine : textLine;
  return logChannel.subscribe((record) => {
    if (severities[record.level] < severities[options.level]) return;
    options.write(format(record, new Date(now()).toISOString()));
  });
}

function jsonLine(record: LogRecord, time: string): string {
  const { level, message, ...facts } = record;
  return `${JSON.stringify({ time, level, message: cut(message), ...plainFacts(facts) })}\n`;
}

function textLine(record: LogRecord, time: string): string {
  const { level, message, ...facts } = record;
  const pairs = Object.entries(plainFacts(facts)).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${[time, level.toUpperCase().padEnd(5), oneLine(cut(message)), ...pairs].join(" ")}\n`;
}

type Fact = string | number | bigint | boolean | undefined;

/** JSON has no bigint: beyond 2^53 it becomes a text. */
function plainFacts(facts: Readonly<Record<string, Fact>>): Record<string, string | number | boolean> {
  const plain: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined) continue;
    if (typeof value === "bigint") {
      const number = Number(value);
      plain[name] = Number.isSafeInteger(number) ? number : value.toString();
    } else plain[name] = typeof value === "string" ? cut(value) : value;
  }
  return plain;
}

function cut(text: string): string {
  return text.length > FACT_LENGTH_MAX ? `${text.slice(0, FACT_LENGTH_MAX)}…` : text;
}

/** A line break in a message would let it forge a line of its own. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}
