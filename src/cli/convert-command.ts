import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { bytesOfText } from "../bytes/index.js";
import { loadConfig } from "../daemon/index.js";
import { invalidArgument } from "../errors/index.js";
import type { Platform } from "../oci/index.js";
import { Registry } from "../registry/index.js";
import {
  type ConvertReport,
  convertImage,
  entryPath,
  type LayerOptions,
  layerOptions,
  openImageSource,
  openImageTarget,
  parseImageLocation,
  type TargetFormat,
  targetFormats,
} from "../transfer/index.js";
import { type Command, type CommandInput, type CommandResult, jsonOption } from "./command.js";
import { configOptions } from "./config-command.js";
import { Progress } from "./progress.js";
import { signalled } from "./signalled.js";
import { humanBytes, table } from "./table.js";

/** Bytes of a list of files; one of a hundred thousand paths has ten million. */
const LIST_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_WAIT_MIN_MS = 100;
const RETRY_WAIT_MAX_MS = 8000;
const COLUMNS = 80;

export const convertCommand: Command = {
  name: "convert",
  summary: "write an image with its layers in another format",
  usage: "SOURCE TARGET --to FORMAT [options]",
  positionalsMin: 2,
  positionalsMax: 2,
  description: [
    "Reads an image, converts its layers to `estargz`, `zstdchunked` or `uncompressed`, and writes it to another place, which gets the name only when everything is there. SOURCE and TARGET are REGISTRY/REPOSITORY:TAG, oci:FOLDER[:NAME] or oci-archive:FILE[:NAME]. No daemon is needed.",
    "The same source, options and release of Node make the same bytes, however many processors there are. Layers that are in the format already pass through; encrypted layers, those that may not be distributed, and those that the format can't express stay as they are, and the report says why. Attestations and artifacts in an index are copied. A layer whose tar is not what the image's config says is refused.",
    "What became of each layer is noted below `--record`: a run that was stopped goes on behind the layers that are at the target already, and images that share layers convert them once.",
  ],
  options: {
    to: { type: "string", value: "FORMAT", meaning: `One of ${targetFormats.join(", ")}.` },
    platform: {
      type: "string",
      value: "OS/ARCH[/VARIANT]",
      multiple: true,
      meaning:
        "Convert and copy this platform of an index; may be given several times. Without it: that of this machine.",
    },
    "all-platforms": { type: "boolean", meaning: "Convert all platforms of an index." },
    prioritize: {
      type: "string",
      value: "FILE",
      meaning:
        "A list of files that are read first, a path a line or JSON with `path` as ctr-remote records it: they are put in front, where readers prefetch them. Order counts.",
    },
    level: {
      type: "string",
      value: "N",
      meaning: "Compression: 1 to 9 for estargz (6), 1 to 19 for zstdchunked (3).",
    },
    "chunk-size": {
      type: "string",
      value: "BYTES",
      meaning: "Longer files are cut into chunks of this (4194304): what a reader fetches at least.",
    },
    "min-chunk-size": {
      type: "string",
      value: "BYTES",
      meaning:
        "Small files share a gzip member or zstd frame until it has this many bytes: smaller and faster, for readers since stargz-snapshotter 0.13 (0: none shares).",
    },
    "external-toc": {
      type: "boolean",
      meaning:
        "For estargz: put the TOCs into an image of their own, TARGET with -esgztoc behind its tag. The tars and diff ids stay as they are.",
    },
    dialect: {
      type: "string",
      value: "stargz|containers",
      meaning:
        "For zstdchunked: written for stargz-snapshotter and lazuli (stargz), or for Podman and CRI-O (containers).",
    },
    workers: {
      type: "string",
      value: "N",
      meaning: "Threads that compress; one for each processor by default.",
    },
    record: {
      type: "string",
      value: "PATH",
      meaning:
        "Folder for what became of layers; lazuli/convert below XDG_CACHE_HOME or ~/.cache by default.",
    },
    config: configOptions.config!,
    json: jsonOption,
  },
  examples: [
    [
      "lazuli convert docker.io/library/python:3.12 registry.example/python:3.12-esgz --to estargz",
      "From registry to registry.",
    ],
    [
      "lazuli convert oci:./app oci-archive:app.tar:v1 --to zstdchunked --all-platforms",
      "From a folder to a file, without a registry.",
    ],
    [
      "lazuli convert registry.example/app:1 registry.example/app:1-fast --to estargz --prioritize first.txt",
      "With the files of a start in front.",
    ],
  ],
  run: async (input) => {
    const layers = await readLayerOptions(input);
    const platforms = readPlatforms(input);
    const [from, to] = input.positionals.map((text) => parseImageLocation(text));
    await using registry = await openRegistry(input);
    await using source = await openImageSource(from!, registry);
    await using target = await openImageTarget(to!, registry);
    using stop = signalled();
    const progress = new Progress(progressOutput(input));
    try {
      const report = await convertImage({
        source,
        target,
        layers,
        platforms,
        scratchFolder: input.environment.TMPDIR ?? "/var/tmp",
        recordFolder: recordFolder(input),
        workers: numberOption(input, "workers"),
        onEvent: (event) => progress.show(event),
        signal: stop.signal,
      });
      return resultOf(report, target.description);
    } finally {
      progress.end();
    }
  },
};

async function readLayerOptions(input: CommandInput): Promise<LayerOptions> {
  const format = input.options.to?.at(-1);
  if (format === undefined || !targetFormats.some((known) => known === format)) {
    throw usage(`want --to ${targetFormats.join("|")}, got ${format ?? "none"}`);
  }
  const dialect = input.options.dialect?.at(-1);
  if (dialect !== undefined && dialect !== "stargz" && dialect !== "containers") {
    throw usage(`want --dialect stargz|containers, got ${dialect}`);
  }
  const list = input.options.prioritize?.at(-1);
  return layerOptions({
    format: format as TargetFormat,
    chunkSizeBytes: numberOption(input, "chunk-size"),
    streamSizeMinBytes: numberOption(input, "min-chunk-size"),
    level: numberOption(input, "level"),
    isTocExternal: input.options["external-toc"] !== undefined,
    dialect,
    prioritized: list === undefined ? [] : await readPaths(list),
  });
}

/** Paths a line, or JSON objects a line with a `path`, as `ctr-remote image optimize --record-out` writes them. */
async function readPaths(file: string): Promise<LayerOptions["prioritized"]> {
  const text = await readFile(file, "utf8");
  if (text.length > LIST_BYTES_MAX) throw usage(`want at most ${LIST_BYTES_MAX} bytes in ${file}`);
  const paths = text.split("\n").flatMap((line) => {
    if (line.trim() === "") return [];
    const path = line.startsWith("{") ? recordedPath(line, file) : line;
    const own = entryPath(bytesOfText(path));
    return own === undefined || own === "" ? [] : [own];
  });
  return [...new Set(paths)];
}

function recordedPath(line: string, file: string): string {
  try {
    const { path } = JSON.parse(line) as { readonly path?: unknown };
    if (typeof path === "string") return path;
  } catch {
    // Told below, as for JSON without a path.
  }
  throw usage(`want a path or JSON with one in each line of ${file}, got ${line.slice(0, 80)}`);
}

function readPlatforms(input: CommandInput): readonly Platform[] | "all" {
  const given = input.options.platform;
  if (input.options["all-platforms"] !== undefined) {
    if (given === undefined) return "all";
    throw usage("want --platform or --all-platforms, got both");
  }
  return given === undefined ? [ownPlatform()] : given.map(parsePlatform);
}

function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...more] = text.split("/");
  if (!os || !architecture || more.length > 0) throw usage(`want --platform OS/ARCH[/VARIANT], got ${text}`);
  return { os, architecture, variant };
}

function ownPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return { os: "linux", architecture: names[process.arch] ?? process.arch };
}

function numberOption(input: CommandInput, name: string): number | undefined {
  const text = input.options[name]?.at(-1);
  if (text === undefined) return undefined;
  if (/^[0-9]{1,12}$/.test(text)) return Number(text);
  throw usage(`want a whole number for --${name}, got ${text}`);
}

function recordFolder({ options, environment }: CommandInput): string {
  const cache = environment.XDG_CACHE_HOME || join(environment.HOME ?? homedir(), ".cache");
  return options.record?.at(-1) ?? join(cache, "lazuli", "convert");
}

async function openRegistry(input: CommandInput): Promise<AsyncDisposable & { readonly registry: Registry }> {
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

function progressOutput(input: CommandInput): ConstructorParameters<typeof Progress>[0] {
  const isJson = input.options.json !== undefined;
  const isBar = !isJson && process.stderr.isTTY === true;
  return {
    kind: isJson ? "json" : isBar ? "bar" : "lines",
    write: isBar ? (text) => process.stderr.write(text) : (text) => input.tell(text.trimEnd()),
    columns: process.stderr.columns ?? COLUMNS,
    now: () => performance.now(),
  };
}

function resultOf(report: ConvertReport, target: string): CommandResult {
  const rows = report.manifests.flatMap(({ platform, layers }) =>
    layers.map(({ source, action, note, sourceBytes, targetBytes }) => [
      platform,
      source.slice(0, 19),
      note === undefined ? action : `${action} (${note})`,
      humanBytes(sourceBytes),
      humanBytes(targetBytes),
    ]),
  );
  const tocLine = report.tocImage === undefined ? "" : `TOCs: ${report.tocImage}\n`;
  return {
    data: { target, ...report },
    text: `${table(["PLATFORM", "LAYER", "WHAT", "BEFORE", "AFTER"], rows)}\n${tocLine}${target}: ${report.digest}\n`,
  };
}

function usage(problem: string): Error {
  return invalidArgument(`Cannot run lazuli convert: ${problem}`, {
    reason: "usage",
    hint: "`lazuli convert --help` shows the options",
  });
}
