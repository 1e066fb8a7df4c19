import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { stringify } from "smol-toml";
import { configText, readConfig } from "../daemon/index.js";
import { alreadyExists, failedPrecondition, LazuliError } from "../errors/index.js";
import { type DroppedKey, type HostsFile, migrateConfig, readContainerdConfig } from "../settings/index.js";
import type { CommandInput, CommandOption, CommandResult } from "./command.js";
import { table } from "./table.js";

export const migrateOptions: Readonly<Record<string, CommandOption>> = {
  from: {
    type: "string",
    value: "FILE",
    meaning: "For `migrate`: containerd's config. Without it: /etc/containerd/config.toml.",
  },
  output: {
    type: "string",
    value: "FILE",
    short: "o",
    meaning: "For `migrate`: where the new config is written; a file that is there is not replaced.",
  },
  hosts: {
    type: "string",
    value: "FOLDER",
    meaning:
      "For `migrate`: folder for one hosts.toml a registry, where containerd's config itself had mirrors or certificates. It becomes the first of `[registry] config_path`.",
  },
  strict: { type: "boolean", meaning: "For `migrate`: fail when a key was left out." },
};

const CONTAINERD_FILE_DEFAULT = "/etc/containerd/config.toml";
const FILE_MODE = 0o600;
/** That of FAILED_PRECONDITION: the config is good, but not all of what was asked for. */
const LEFT_OUT_EXIT_CODE = 9;

/** `lazuli config migrate`. @throws NOT_FOUND, INVALID_ARGUMENT, ALREADY_EXISTS */
export async function migrateCommand(input: CommandInput): Promise<CommandResult> {
  const { options } = input;
  const from = options.from?.at(-1) ?? CONTAINERD_FILE_DEFAULT;
  const read = await readContainerdConfig(from);
  const { document, taken, dropped, hosts } = migrateConfig(read);
  const folder = options.hosts?.at(-1);
  if (folder !== undefined && hosts.length > 0) leadTo(document, resolve(folder));
  const text = configText(checked(document, from));
  if (folder !== undefined) await writeHosts(resolve(folder), hosts);
  const output = options.output?.at(-1);
  if (output !== undefined) await writeNew(output, text);
  const data = { files: read.files, text, output, taken, dropped, hosts };
  const exitCode = options.strict !== undefined && dropped.length > 0 ? LEFT_OUT_EXIT_CODE : 0;
  if (output !== undefined) return { data, text: droppedTable(dropped), exitCode };
  if (options.json === undefined)
    for (const line of droppedTable(dropped).trimEnd().split("\n")) input.tell(line);
  return { data, text, exitCode };
}

/** A file that lazuli would not take is none: what is wrong is told by the keys of ours. */
function checked(document: Record<string, unknown>, from: string): Record<string, unknown> {
  try {
    readConfig({ text: stringify(document), file: from });
    return document;
  } catch (thrown) {
    const { message } = LazuliError.from(thrown);
    throw failedPrecondition(`Cannot migrate ${from}: ${message}`, {
      subject: from,
      reason: "config-migration-invalid",
      hint: "Change these values in a copy of the file, and give that to --from",
      cause: thrown,
    });
  }
}

function leadTo(document: Record<string, unknown>, folder: string): void {
  const registry = (document.registry ?? {}) as { config_path?: readonly string[] };
  document.registry = { ...registry, config_path: [folder, ...(registry.config_path ?? [])] };
}

async function writeHosts(folder: string, hosts: readonly HostsFile[]): Promise<void> {
  for (const { host, text } of hosts) {
    await mkdir(join(folder, host), { recursive: true });
    await writeNew(join(folder, host, "hosts.toml"), text);
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx", mode: FILE_MODE });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
    throw alreadyExists(`Cannot write ${path}: want a new file, got one that is there`, {
      subject: path,
      reason: "config-output-exists",
      hint: "Move it away, or choose another path",
      cause: thrown,
    });
  }
}

function droppedTable(dropped: readonly DroppedKey[]): string {
  if (dropped.length === 0) return "Nothing was left out.\n";
  const rows = dropped.map(({ key, value, reason }) => [key, value ?? "(not shown)", reason]);
  return table(["LEFT OUT", "VALUE", "WHY"], rows);
}
