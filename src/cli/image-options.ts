import { homedir } from "node:os";
import { join } from "node:path";
import { invalidArgument } from "../errors/index.js";
import type { Platform } from "../oci/index.js";
import type { Registry } from "../registry/index.js";
import type { ImageLocation } from "../transfer/index.js";
import type { CommandInput, CommandOption } from "./command.js";
import { configFileOption } from "./config-file-option.js";
import { Progress } from "./progress.js";

const RETRY_WAIT_MIN_MS = 100;
const RETRY_WAIT_MAX_MS = 8000;
const COLUMNS = 80;

/** Of the commands that read and write images. */
export const imageOptions: Readonly<Record<string, CommandOption>> = {
  platform: {
    type: "string",
    value: "OS/ARCH[/VARIANT]",
    multiple: true,
    meaning: "Take this platform of an index; may be given several times. Without it: that of this machine.",
  },
  "all-platforms": { type: "boolean", meaning: "Take all platforms of an index." },
  record: {
    type: "string",
    value: "PATH",
    meaning: "Folder for what became of layers; lazuli/convert below XDG_CACHE_HOME or ~/.cache by default.",
  },
  config: configFileOption,
};

export function readPlatforms(input: CommandInput): readonly Platform[] | "all" {
  const given = input.options.platform;
  if (input.options["all-platforms"] !== undefined) {
    if (given === undefined) return "all";
    throw usageError("want --platform or --all-platforms, got both");
  }
  return given === undefined ? [ownPlatform()] : given.map(parsePlatform);
}

function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...more] = text.split("/");
  if (!os || !architecture || more.length > 0)
    throw usageError(`want --platform OS/ARCH[/VARIANT], got ${text}`);
  return { os, architecture, variant };
}

function ownPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return { os: "linux", architecture: names[process.arch] ?? process.arch };
}

export function numberOption(input: CommandInput, name: string): number | undefined {
  const text = input.options[name]?.at(-1);
  if (text === undefined) return undefined;
  if (/^[0-9]{1,12}$/.test(text)) return Number(text);
  throw usageError(`want a whole number for --${name}, got ${text}`);
}

export function recordFolder({ options, environment }: CommandInput): string {
  const cache = environment.XDG_CACHE_HOME || join(environment.HOME ?? homedir(), ".cache");
  return options.record?.at(-1) ?? join(cache, "lazuli", "convert");
}

/** Undefined where no location needs one: its modules and the config's take longer than indexing a small image. */
export async function openRegistry(
  input: CommandInput,
  locations: readonly ImageLocation[],
): Promise<AsyncDisposable & { readonly registry: Registry | undefined }> {
  if (locations.every(({ kind }) => kind !== "registry")) {
    return { registry: undefined, [Symbol.asyncDispose]: async () => undefined };
  }
  const { loadConfig } = await import("../daemon/index.js");
  const { Registry } = await import("../registry/index.js");
  const { config } = await loadConfig({
    file: input.options.config?.at(-1),
    environment: input.environment,
    flags: {},
  });
  const { configPaths, dockerConfig, stallTimeoutMs, attempts, requestsPerHost } = config.registry;
  const registry = new Registry({
    hostsDirectories: configPaths,
    ...(dockerConfig === undefined ? {} : { dockerConfigPaths: [dockerConfig] }),
    stallTimeoutMs,
    retry: { attempts, minWaitMs: RETRY_WAIT_MIN_MS, maxWaitMs: RETRY_WAIT_MAX_MS },
    requestsPerHostMax: requestsPerHost,
  });
  return { registry, [Symbol.asyncDispose]: async () => await registry.close() };
}

export function progressOf(input: CommandInput): Progress {
  const isJson = input.options.json !== undefined;
  const isBar = !isJson && process.stderr.isTTY === true;
  return new Progress({
    kind: isJson ? "json" : isBar ? "bar" : "lines",
    write: isBar ? (text) => process.stderr.write(text) : (text) => input.tell(text.trimEnd()),
    columns: process.stderr.columns ?? COLUMNS,
    now: () => performance.now(),
  });
}

/** Where files without a name lie while layers are read. */
export function scratchFolder({ environment }: CommandInput): string {
  return environment.TMPDIR || "/var/tmp";
}

export function usageError(problem: string): Error {
  return invalidArgument(`Cannot run the command: ${problem}`, {
    reason: "usage",
    hint: "`lazuli COMMAND --help` shows the options",
  });
}
