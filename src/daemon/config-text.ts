import { stringify } from "smol-toml";
import type { Field, TomlValue } from "./config-fields.js";
import { type Config, type ConfigKey, configKeys } from "./config-keys.js";
import { type NamedTable, namedTables } from "./config-named-tables.js";
import { CONFIG_VERSION } from "./config-version.js";

const COMMENT_WIDTH = 100;

const tableMeanings: Readonly<Record<string, string>> = {
  "": "Where lazuli keeps its files.",
  snapshotter: "The service that containerd plugs in.",
  daemon: "The runtime daemon, which stands in containerd's place.",
  content: "The content store of the runtime daemon.",
  gc: "When the runtime daemon's garbage collector runs. The keys are those of containerd's scheduler.",
  layer: "Lazy layers.",
  decryption: "Encrypted images.",
  containerd: "The containerd of this host.",
  registry: "How registries are reached.",
  metrics: "Figures for Prometheus.",
  log: "The log on stderr.",
  shims: "How long the daemon waits for the processes that hold containers.",
  restart: "Containers that are started again when they end.",
  cri: "Kubernetes' Container Runtime Interface: the server of streams. Keys and defaults are containerd's.",
  "cri.images": "Images of pods.",
  "cri.runtime": "Containers of pods.",
  "cri.cni": "Networks of pods.",
  nri: "Plugins that see and change containers (Node Resource Interface).",
  "nri.default_validator": "What such plugins may not change.",
  cdi: "Devices that vendors describe (Container Device Interface).",
};

/** Every key with its meaning and default, as a file to start from: all values are commented out. */
export function defaultConfigText(): string {
  const lines = [
    "# lazuli's config. Every value that is shown is the default: uncomment what you change.",
    "",
    "# Form of this file. A lazuli that knows later forms reads this one too.",
    `version = ${CONFIG_VERSION}`,
  ];
  forEachTable((table, keys) => {
    lines.push("", ...(table === "" ? [] : [`[${table}]`]));
    for (const [index, key] of keys.entries()) {
      if (index > 0) lines.push("");
      lines.push(...comment(key.field.meaning), `# ${assignment(key.field, key.field.initial)}`);
    }
  });
  for (const table of namedTables) lines.push("", ...exampleTable(table));
  return `${lines.join("\n")}\n`;
}

/** The config in force, as TOML that reads back to the same. Keys that are not set are left out. */
export function dumpConfig(config: Config): string {
  const lines: string[] = [`version = ${CONFIG_VERSION}`];
  forEachTable((table, keys) => {
    const name = keys[0]!.place;
    const place = (name === "" ? config : config[name as keyof Config]) as Record<string, unknown>;
    const set = keys.filter((key) => place[key.name] !== undefined);
    if (set.length === 0) return;
    if (table !== "") lines.push("", `[${table}]`);
    for (const key of set) lines.push(assignment(key.field, place[key.name]));
  });
  for (const table of namedTables) lines.push(...dumpTables(table, config[table.name as keyof Config]));
  return `${lines.join("\n")}\n`;
}

/** The text of docs/config.md. */
export function configPage(): string {
  const lines = [
    "# Config",
    "",
    "lazuli reads `/etc/lazuli/config.toml`, or the file named by `--config` or `LAZULI_CONFIG`. Without a file every",
    "key has its default. A flag stands above a variable of the environment, that above the file, and the file above",
    "the default. An unknown key is an error. `lazuli config default` prints this page as a file to start from,",
    "`lazuli config check` checks a file, and `lazuli config dump` shows what is in force.",
    "",
    'Durations are texts such as `"30s"` or `"1m30s"`, sizes are texts such as `"64MiB"`. There are no special values:',
    "a key that can be off is a key that can be left out.",
    "",
    `The first line is \`version = ${CONFIG_VERSION}\`, the form of the file; without it a file is of form 1. \`lazuli config migrate\``,
    "makes such a file from containerd's config, and lists what it left out.",
    "",
    "This page is generated (`node dist/src/cli/main.js config docs > docs/config.md`).",
  ];
  forEachTable((table, keys) => {
    lines.push("", table === "" ? "## At the top" : `## [${table}]`, "", tableMeanings[table] ?? "");
    lines.push("", "| key | default | value | flag | meaning |", "|---|---|---|---|---|");
    for (const { field, flag } of keys) {
      const variable = field.environment === undefined ? "" : ` (or \`${field.environment}\`)`;
      lines.push(pageRow(field, `\`--${flag}\`${variable}`));
    }
  });
  for (const table of namedTables) {
    lines.push("", `## [${table.key}.<name>]`, "", table.meaning, "");
    lines.push("| key | default | value | meaning |", "|---|---|---|---|");
    for (const field of Object.values(table.fields)) lines.push(pageRow(field));
  }
  return `${lines.join("\n")}\n`;
}

/** The flag's cell is left out for a key that has none. */
function pageRow(field: Field<unknown>, flag?: string): string {
  const initial = field.initial === undefined ? "not set" : `\`${tomlOf(field, field.initial)}\``;
  const cells = [
    `\`${field.key}\``,
    field.isMandatory ? "must be set" : initial,
    field.kind.wanted,
    ...(flag === undefined ? [] : [flag]),
    field.meaning,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** A table that an operator would have to name first: all of it is commented out, and set in a little. */
function exampleTable(table: NamedTable): string[] {
  const lines = [...comment(table.meaning), "#", `#   [${table.key}.${table.example}]`];
  for (const field of Object.values(table.fields)) {
    const keyLine = `#   ${assignment(field, field.initial)}`;
    lines.push(...comment(field.meaning).map((line) => line.replace("# ", "#   # ")), keyLine);
  }
  return lines;
}

function dumpTables(table: NamedTable, tables: unknown): string[] {
  return Object.entries(tables as Record<string, Record<string, unknown>>).flatMap(([name, values]) => [
    "",
    `[${table.key}.${tomlKey(name)}]`,
    ...Object.entries(table.fields)
      .filter(([key]) => values[key] !== undefined)
      .map(([key, field]) => assignment(field, values[key])),
  ]);
}

function forEachTable(visit: (table: string, keys: readonly ConfigKey[]) => void): void {
  for (const table of new Set(configKeys.map((key) => key.table))) {
    visit(
      table,
      configKeys.filter((key) => key.table === table),
    );
  }
}

function assignment(field: Field<unknown>, value: unknown): string {
  return `${field.key} = ${value === undefined ? literal(field.example ?? "") : tomlOf(field, value)}`;
}

function tomlOf(field: Field<unknown>, value: unknown): string {
  return literal(field.kind.toToml(value as never));
}

function literal(value: TomlValue): string {
  if (typeof value === "object" && !Array.isArray(value)) {
    const pairs = Object.entries(value).map(([key, text]) => `${tomlKey(key)} = ${literal(text)}`);
    return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
  }
  return stringify({ value })
    .replace(/^value = /, "")
    .trim();
}

function tomlKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : literal(key);
}

function comment(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1]!;
    if (last.length + word.length + 1 > COMMENT_WIDTH) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.map((line) => `# ${line}`);
}
