import { channel } from "./channel.js";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly [fact: string]: string | number | bigint | boolean | undefined;
}

/** Every log line of the process passes here; the daemon writes them to stderr as JSON. */
export const logChannel = channel<LogRecord>("lazuli:log");

type LogFacts = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

function at(level: LogLevel): (message: string, facts?: LogFacts) => void {
  return (message, facts = {}) => logChannel.publish({ ...facts, level, message });
}

export const log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } as const;
