import { readFile } from "node:fs/promises";
import { parse, TomlError } from "smol-toml";
import { invalidArgument, LazuliError, nearestWord, notFound } from "../errors/index.js";
import { checkDaemon } from "./config-daemon.js";
import { type Config, type ConfigKey, configKeys } from "./config-keys.js";
import { isTable, readNamedTables, valueAt } from "./config-named.js";
import { namedTables } from "./config-named-tables.js";
import { checkSnapshotters } from "./config-snapshotters.js";
import { takeVersion } from "./config-version.js";
import { checkProxied } from "./proxied-parts.js";
import { checkStreamProcessors } from "./stream-processors.js";

export const CONFIG_FILE_DEFAULT = "/etc/lazuli/config.toml";

/** A config is a page of text; a larger file is something else. */
const CONFIG_BYTES_MAX = 1024 * 1024;

export interface ConfigSources {
  /** Text of the TOML file; undefined where there is none. */
  readonly text?: string | undefined;
  /** Name of the file for messages. */
  readonly file?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Values of flags by flag name; they stand above everything. */
  readonly flags?: Readonly<Record<string, readonly string[] | undefined>> | undefined;
}

/** The config from flags over environment over file over defaults. @throws INVALID_ARGUMENT with all problems at once */
export function readConfig(sources: ConfigSources): Config {
  const problems: string[] = [];
  const document = sources.text === undefined ? {} : parseToml(sources.text, sources.file);
  takeVersion(document, problems);
  findUnknown(document, problems);
  const config: Record<string, unknown> = readNamedTables(document, problems);
  for (const key of configKeys) {
    const place = key.place === "" ? config : tableOf(config, key.place);
    place[key.name] = effectiveValue(key, { document, sources, problems });
  }
  if (problems.length === 0) {
    problems.push(...checkSnapshotters(config as unknown as Config));
    problems.push(...checkProxied(config as unknown as Config));
    problems.push(...checkStreamProcessors(config as unknown as Config));
    problems.push(...checkDaemon(config as unknown as Config));
  }
  if (problems.length > 0) {
    throw invalidArgument(
      `Cannot read config ${sources.file ?? "from the command line"}: ${problems.join("; ")}`,
      {
        reason: "config-invalid",
        ...(sources.file === undefined ? {} : { subject: sources.file }),
        hint: "`lazuli config default` prints every key with its meaning",
      },
    );
  }
  return config as unknown as Config;
}

export interface LoadConfigOptions {
  /** Path of the file as the user gave it; undefined: LAZULI_CONFIG, then the default, which may be missing. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, readonly string[] | undefined>>;
}

/** @throws NOT_FOUND for a named file that isn't there; INVALID_ARGUMENT */
export async function loadConfig(
  options: LoadConfigOptions,
): Promise<{ config: Config; file: string | undefined }> {
  const named = options.file ?? options.environment.LAZULI_CONFIG;
  const file = named ?? CONFIG_FILE_DEFAULT;
  const text = await readConfigFile(file, named !== undefined);
  const config = readConfig({ text, file, environment: options.environment, flags: options.flags });
  return { config, file: text === undefined ? undefined : file };
}

async function readConfigFile(file: string, isRequired: boolean): Promise<string | undefined> {
  try {
    const bytes = await readFile(file);
    if (bytes.length > CONFIG_BYTES_MAX) {
      throw invalidArgument(
        `Cannot read config ${file}: want at most ${CONFIG_BYTES_MAX} bytes, got ${bytes.length}`,
        { reason: "config-too-large", subject: file },
      );
    }
    return bytes.toString("utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    if (!isRequired) return undefined;
    throw notFound(`Cannot read config ${file}: the file does not exist`, {
      subject: file,
      reason: "config-missing",
      hint: "`lazuli config default` prints one to start from",
      cause: thrown,
    });
  }
}

function parseToml(text: string, file: string | undefined): Record<string, unknown> {
  try {
    return parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    throw invalidArgument(
      `Cannot read config ${file ?? "text"}: line ${thrown.line}, column ${thrown.column} is not TOML: ${thrown.message.split("\n")[0]}`,
      { reason: "config-invalid", cause: thrown },
    );
  }
}

function findUnknown(document: Record<string, unknown>, problems: string[]): void {
  findUnknownIn({ table: "", values: document, problems });
}

const tableNames = [...new Set(configKeys.map(({ table }) => table))].filter((table) => table !== "");
const namedNames = namedTables.map(({ key }) => key);

function findUnknownIn(at: { table: string; values: Record<string, unknown>; problems: string[] }): void {
  const { table, values, problems } = at;
  for (const [key, value] of Object.entries(values)) {
    const path = table === "" ? key : `${table}.${key}`;
    const isInner =
      tableNames.includes(path) || [...tableNames, ...namedNames].some((name) => name.startsWith(`${path}.`));
    if (namedNames.includes(path)) continue;
    if (!isInner) reportUnknown({ table, key, problems });
    else if (isTable(value)) findUnknownIn({ table: path, values: value, problems });
    else problems.push(`"${path}" must be a table, written [${path}]`);
  }
}

/** Names that may stand in a table: of keys, and of tables. */
function knownIn(table: string): string[] {
  const keys = configKeys.filter((key) => key.table === table).map((key) => key.field.key);
  const prefix = table === "" ? "" : `${table}.`;
  const inner = [...tableNames, ...namedNames]
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length).split(".")[0]!);
  return [...keys, ...inner];
}

function reportUnknown(at: { table: string; key: string; problems: string[] }): void {
  const siblings = configKeys.filter((key) => key.table === at.table).map((key) => key.field.key);
  if (siblings.includes(at.key)) return;
  const elsewhere = configKeys.find((key) => key.table !== at.table && key.field.key === at.key);
  const meant = nearestWord(at.key, knownIn(at.table)) ?? elsewhere?.path;
  const place = at.table === "" ? "" : ` in [${at.table}]`;
  at.problems.push(
    `unknown key "${at.key}"${place}${meant === undefined ? "" : `, did you mean "${meant}"?`}`,
  );
}

function effectiveValue(
  key: ConfigKey,
  from: { document: Record<string, unknown>; sources: ConfigSources; problems: string[] },
): unknown {
  const { field } = key;
  const flag = from.sources.flags?.[key.flag];
  const variable =
    field.environment === undefined ? undefined : from.sources.environment?.[field.environment];
  const table = key.table === "" ? from.document : valueAt(from.document, key.table);
  const inFile = isTable(table) ? table[field.key] : undefined;
  try {
    if (flag !== undefined && flag.length > 0) return field.kind.fromTexts(flag);
    if (variable !== undefined && variable !== "") return field.kind.fromTexts([variable]);
    if (inFile !== undefined) return field.kind.fromToml(inFile);
    return field.initial;
  } catch (thrown) {
    if (!(thrown instanceof LazuliError)) throw thrown;
    const source = flag?.length ? `--${key.flag}` : variable ? field.environment : key.path;
    from.problems.push(`${source}: ${thrown.message.replace(/^Cannot read [a-z]+: /, "")}`);
    return field.initial;
  }
}

function tableOf(config: Record<string, unknown>, name: string): Record<string, unknown> {
  config[name] ??= {};
  return config[name] as Record<string, unknown>;
}
