import { invalidArgument } from "../errors/index.js";
import { hidePassword, parseKeySpec } from "../ocicrypt/index.js";
import {
  formatDuration,
  formatSize,
  formatSizeOrShare,
  parseDuration,
  parseSize,
  parseSizeOrShare,
  type SizeOrShare,
} from "./units.js";

type PlainValue = string | number | boolean;
export type TomlValue =
  | PlainValue
  | readonly string[]
  | Readonly<Record<string, PlainValue | readonly string[]>>;

export type OptionValues = Readonly<Record<string, PlainValue | readonly string[]>>;

/** How the values of a key are read from TOML and from a flag, and written back. */
interface FieldKind<T> {
  /** For the docs: what to write. */
  readonly wanted: string;
  /** @throws INVALID_ARGUMENT */
  fromToml(value: unknown): T;
  /** A flag or variable of the environment; a list takes a flag many times. */
  fromTexts(texts: readonly string[]): T;
  toToml(value: T): TomlValue;
}

interface FieldFacts {
  /** Name in the TOML table. */
  readonly key: string;
  /** Sentences for the operator: meaning, unit, what a change does. */
  readonly meaning: string;
  /** Flag without its dashes, where it is not `<table>-<key>`. */
  readonly flag?: string;
  /** Variable of the environment that stands above the file and below the flag. */
  readonly environment?: string;
}

/** One key of the config. `initial` is its default; an optional key has none, and is undefined when not set. */
export interface Field<T> extends FieldFacts {
  readonly kind: FieldKind<NonNullable<T>>;
  readonly initial: T;
  /** Shown in the commented default where there is no default. */
  readonly example: TomlValue | undefined;
  /** There is no default: the key has to be set. `initial` is of no type then, and nobody reads it. */
  readonly isMandatory?: true;
}

type Declared<T> = FieldFacts & { readonly initial: TomlValue; readonly kind: FieldKind<NonNullable<T>> };

function required<T>({ kind, initial, ...facts }: Declared<T>): Field<T> {
  return { ...facts, kind, initial: kind.fromToml(initial), example: undefined };
}

type Given = FieldFacts & { readonly initial: TomlValue };
type GivenText = FieldFacts & { readonly initial: string };

export const durationField = (given: GivenText): Field<number> => required({ ...given, kind: durationKind });
export const delayField = (given: GivenText): Field<number> => required({ ...given, kind: delayKind });
export const sizeField = (given: GivenText): Field<number> => required({ ...given, kind: sizeKind });
/** Bytes a second. */
export const sizeOrShareField = (given: GivenText): Field<SizeOrShare> =>
  required({ ...given, kind: sizeOrShareKind });
export const rateField = (given: GivenText): Field<number> => required({ ...given, kind: rateKind });
export const booleanField = (given: FieldFacts & { initial: boolean }): Field<boolean> =>
  required({ ...given, kind: booleanKind });
export const pathField = (given: GivenText): Field<string> => required({ ...given, kind: pathKind });
export const socketField = (given: GivenText): Field<string> => required({ ...given, kind: socketKind });
export const pathsField = (given: Given & { initial: readonly string[] }): Field<readonly string[]> =>
  required({ ...given, kind: pathsKind });
export const countField = (
  given: FieldFacts & { initial: number; min: number; max: number },
): Field<number> => {
  const { min, max, ...facts } = given;
  return required({ ...facts, kind: countKind(min, max) });
};
export const fractionField = (
  given: FieldFacts & { initial: number; min: number; max: number },
): Field<number> => {
  const { min, max, ...facts } = given;
  return required({ ...facts, kind: fractionKind(min, max) });
};
export const choiceField = <Choice extends string>(
  given: FieldFacts & { initial: Choice; choices: readonly Choice[] },
): Field<Choice> => {
  const { choices, ...facts } = given;
  return required({ ...facts, kind: choiceKind(choices) });
};
export const textsField = (given: Given & { initial: readonly string[] }): Field<readonly string[]> =>
  required({ ...given, kind: textsKind });
export const keysField = (given: Given & { initial: readonly string[] }): Field<readonly string[]> =>
  required({ ...given, kind: keysKind });
export const textTableField = (
  given: FieldFacts & { initial: Readonly<Record<string, string>> },
): Field<Readonly<Record<string, string>>> => required({ ...given, kind: textTableKind });

export const textField = (given: GivenText): Field<string> => required({ ...given, kind: oneTextKind });
/** Values by names that somebody else's program knows. */
export const optionsField = (given: FieldFacts & { initial: OptionValues }): Field<OptionValues> =>
  required({ ...given, kind: optionsKind });

type Exampled = FieldFacts & { readonly example: string };

export const optionalTextField = (given: Exampled): Field<string | undefined> => optional(given, oneTextKind);
export const optionalPathField = (given: Exampled): Field<string | undefined> => optional(given, pathKind);
export const optionalSocketField = (given: Exampled): Field<string | undefined> =>
  optional(given, socketKind);
export const optionalListenField = (given: Exampled): Field<string | undefined> =>
  optional(given, listenKind);
export const optionalBooleanField = (given: FieldFacts & { example: boolean }): Field<boolean | undefined> =>
  optional(given, booleanKind);
export const optionalSizeField = (given: Exampled): Field<number | undefined> => optional(given, sizeKind);
export const optionalCountField = (
  given: FieldFacts & { example: number; min: number; max: number },
): Field<number | undefined> => {
  const { min, max, ...facts } = given;
  return optional(facts, countKind(min, max));
};
export const optionalChoiceField = <Choice extends string>(
  given: FieldFacts & { readonly example: Choice; readonly choices: readonly Choice[] },
): Field<Choice | undefined> => {
  const { choices, ...facts } = given;
  return optional(facts, choiceKind(choices));
};

function optional<T>(
  given: FieldFacts & { readonly example: TomlValue },
  kind: FieldKind<T>,
): Field<T | undefined> {
  return { ...given, kind: kind as FieldKind<NonNullable<T>>, initial: undefined };
}

export const mandatorySocketField = (given: Exampled): Field<string> => mandatory(given, socketKind);
export const mandatoryTextField = (given: Exampled): Field<string> => mandatory(given, oneTextKind);
export const mandatoryChoiceField = <Choice extends string>(
  given: FieldFacts & { readonly example: Choice; readonly choices: readonly Choice[] },
): Field<Choice> => {
  const { choices, ...facts } = given;
  return mandatory(facts, choiceKind(choices));
};

function mandatory<T extends string>(given: Exampled, kind: FieldKind<T>): Field<T> {
  return {
    ...given,
    kind: kind as FieldKind<NonNullable<T>>,
    initial: undefined as never,
    isMandatory: true,
  };
}

/** PATH_MAX of Linux without its closing zero. */
const PATH_LENGTH_MAX = 4095;
/** sun_path of a Unix socket without its closing zero (unix(7)). */
const SOCKET_PATH_LENGTH_MAX = 107;
/** A longer list or table is a mistake. */
const LIST_LENGTH_MAX = 64;
const TEXT_BYTES_MAX = 4096;

const durationKind = textKind('duration, e.g. "30s"', parseDuration, formatDuration);
const NO_DELAY = "0s";
const delayKind = textKind(
  'duration, e.g. "30s", or "0s"',
  (text) => (text === NO_DELAY ? 0 : parseDuration(text)),
  (milliseconds) => (milliseconds === 0 ? NO_DELAY : formatDuration(milliseconds)),
);
const sizeOrShareKind = textKind(
  'size such as "64GiB", share such as "80%", or "0"',
  parseSizeOrShare,
  formatSizeOrShare,
);
const sizeKind = textKind('size, e.g. "64MiB"', parseSize, formatSize);
const rateKind = textKind(
  'bytes a second, e.g. "10MiB", or "0" for no limit',
  (text) => (text === "0" ? 0 : parseSize(text)),
  (bytes) => (bytes === 0 ? "0" : formatSize(bytes)),
);
const pathKind = textKind("absolute path", (text) => checkPath(text, PATH_LENGTH_MAX), String);
const socketKind = textKind(
  "absolute path of a Unix socket, at most 107 bytes",
  (text) => checkPath(text, SOCKET_PATH_LENGTH_MAX),
  String,
);
const listenKind = textKind('"host:port" or the absolute path of a Unix socket', checkListen, String);

const booleanKind: FieldKind<boolean> = {
  wanted: "true or false",
  fromToml(value) {
    if (typeof value !== "boolean") throw wrong(this.wanted, value);
    return value;
  },
  fromTexts(texts) {
    const text = lastOf(texts);
    if (text !== "true" && text !== "false") throw wrong(this.wanted, text);
    return text === "true";
  },
  toToml: (value) => value,
};

const pathsKind: FieldKind<readonly string[]> = {
  wanted: "list of absolute paths",
  fromToml(value) {
    if (!Array.isArray(value) || value.length > LIST_LENGTH_MAX) throw wrong(this.wanted, value);
    return value.map((path) => pathKind.fromToml(path));
  },
  fromTexts: (texts) => pathsKind.fromToml(texts),
  toToml: (value) => value,
};

const oneTextKind = textKind(
  `text of 1 to ${TEXT_BYTES_MAX} bytes`,
  (text) => {
    const bytes = Buffer.byteLength(text);
    if (bytes === 0 || bytes > TEXT_BYTES_MAX) throw wrong(`text of 1 to ${TEXT_BYTES_MAX} bytes`, text);
    return text;
  },
  String,
);

const textsKind: FieldKind<readonly string[]> = {
  wanted: "list of texts",
  fromToml(value) {
    if (!Array.isArray(value) || value.length > LIST_LENGTH_MAX) throw wrong(this.wanted, value);
    return value.map((text) => oneTextKind.fromToml(text));
  },
  fromTexts: (texts) => textsKind.fromToml(texts),
  toToml: (value) => value,
};

/** Neither a message nor a dump shows a password. */
const keysKind: FieldKind<readonly string[]> = {
  wanted: "list of paths, each with `:file=<path of its password>` where it has one",
  fromToml(value) {
    if (!Array.isArray(value) || value.length > LIST_LENGTH_MAX) throw wrong(this.wanted, typeof value);
    for (const text of value) {
      if (typeof text !== "string" || text.length > PATH_LENGTH_MAX) throw wrong(this.wanted, typeof text);
      parseKeySpec(text);
    }
    return value;
  },
  fromTexts: (texts) => keysKind.fromToml(texts),
  toToml: (value) => value.map(hidePassword),
};

const textTableKind: FieldKind<Readonly<Record<string, string>>> = {
  wanted: "table of texts",
  fromToml(value) {
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isTable || Object.keys(value).length > LIST_LENGTH_MAX) throw wrong(this.wanted, value);
    return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, oneTextKind.fromToml(text)]));
  },
  fromTexts: (texts) =>
    textTableKind.fromToml(Object.fromEntries(texts.map((text) => text.split(/=(.*)/s, 2)))),
  toToml: (value) => value,
};

const optionsKind: FieldKind<OptionValues> = {
  wanted: "table of texts, numbers, booleans and lists of texts",
  fromToml(value) {
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isTable || Object.keys(value).length > LIST_LENGTH_MAX) throw wrong(this.wanted, value);
    for (const option of Object.values(value)) {
      if (Array.isArray(option)) textsKind.fromToml(option);
      else if (!["string", "number", "boolean"].includes(typeof option)) throw wrong(this.wanted, option);
    }
    return { ...value } as OptionValues;
  },
  fromTexts: (texts) => textTableKind.fromTexts(texts),
  toToml: (value) => value,
};

function textKind<T>(wanted: string, parse: (text: string) => T, format: (value: T) => string): FieldKind<T> {
  const fromToml = (value: unknown): T => {
    if (typeof value !== "string") throw wrong(wanted, value);
    return parse(value);
  };
  return { wanted, fromToml, fromTexts: (texts) => fromToml(lastOf(texts)), toToml: format };
}

function countKind(min: number, max: number): FieldKind<number> {
  const wanted = `whole number from ${min} to ${max}`;
  const fromToml = (value: unknown): number => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw wrong(wanted, value);
    }
    return value;
  };
  const fromTexts = (texts: readonly string[]): number => {
    const text = lastOf(texts);
    return fromToml(/^\d+$/.test(text) ? Number(text) : text);
  };
  return { wanted, fromToml, fromTexts, toToml: (value) => value };
}

function fractionKind(min: number, max: number): FieldKind<number> {
  const wanted = `number from ${min} to ${max}`;
  const fromToml = (value: unknown): number => {
    if (typeof value !== "number" || !(value >= min && value <= max)) throw wrong(wanted, value);
    return value;
  };
  const fromTexts = (texts: readonly string[]): number => {
    const text = lastOf(texts);
    return fromToml(/^\d+(\.\d+)?$/.test(text) ? Number(text) : text);
  };
  return { wanted, fromToml, fromTexts, toToml: (value) => value };
}

function choiceKind<Choice extends string>(choices: readonly Choice[]): FieldKind<Choice> {
  const wanted = choices.map((choice) => `"${choice}"`).join(" or ");
  return textKind(
    wanted,
    (text) => {
      const choice = choices.find((candidate) => candidate === text);
      if (choice === undefined) throw wrong(wanted, text);
      return choice;
    },
    String,
  );
}

function checkPath(text: string, lengthMax: number): string {
  if (!text.startsWith("/") || text.includes("\0") || Buffer.byteLength(text) > lengthMax) {
    throw wrong(`absolute path of at most ${lengthMax} bytes`, text);
  }
  return text.length > 1 ? text.replace(/\/+$/, "") : text;
}

function checkListen(text: string): string {
  if (text.startsWith("/")) return checkPath(text, SOCKET_PATH_LENGTH_MAX);
  const port = Number(/^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(text)?.[1]);
  if (!(port >= 1 && port <= 65_535)) throw wrong(listenKind.wanted, text);
  return text;
}

function lastOf(texts: readonly string[]): string {
  return texts.at(-1) ?? "";
}

function wrong(wanted: string, value: unknown): Error {
  return invalidArgument(`Cannot read value: want ${wanted}, got ${JSON.stringify(value)?.slice(0, 80)}`, {
    reason: "config-value-invalid",
  });
}
