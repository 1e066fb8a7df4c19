import { readFile } from "node:fs/promises";
import { bytesOfText } from "../bytes/index.js";
import {
  type ConvertReport,
  convertImage,
  entryPath,
  type LayerOptions,
  layerOptions,
  type ManifestReport,
  openImageSource,
  openImageTarget,
  parseImageLocation,
  type TargetFormat,
  targetFormats,
} from "../transfer/index.js";
import { type Command, type CommandInput, type CommandResult, jsonOption } from "./command.js";
import {
  imageOptions,
  numberOption,
  openRegistry,
  progressOf,
  readPlatforms,
  recordFolder,
  scratchFolder,
  usageError,
} from "./image-options.js";
import { signalled } from "./signalled.js";
import { humanBytes, table } from "./table.js";

/** Bytes of a list of files; one of a hundred thousand paths has ten million. */
const LIST_BYTES_MAX = 64 * 1024 * 1024;

export const convertCommand: Command = {
  name: "convert",
  summary: "write an image with its layers in another format",
  usage: "SOURCE TARGET --to FORMAT [options]",
  positionalsMin: 2,
  positionalsMax: 2,
  description: [
    "Reads an image, converts its layers to `estargz`, `zstdchunked` or `uncompressed`, or leaves them as they are and adds an index by which they are lazy (`soci`, version 2), and writes it to another place, which gets the name only when everything is there. SOURCE and TARGET are REGISTRY/REPOSITORY:TAG, oci:FOLDER[:NAME] or oci-archive:FILE[:NAME]; SOURCE may also be docker-archive:FILE[:NAME], as `docker save` writes it. No daemon is needed.",
    "The same source, options and release of Node make the same bytes, however many processors there are. Layers that are in the format already pass through; encrypted layers, those that may not be distributed, and those that the format can't express stay as they are, and the report says why. Attestations and artifacts in an index are copied. A layer whose tar is not what the image's config says is refused.",
    "What became of each layer is noted below `--record`: a run that was stopped goes on behind the layers that are at the target already, and images that share layers convert them once.",
  ],
  options: {
    to: { type: "string", value: "FORMAT", meaning: `One of ${targetFormats.join(", ")}.` },
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
    "span-size": {
      type: "string",
      value: "BYTES",
      meaning: "For soci: what a span has at least, of the tar (4194304): what a reader fetches at least.",
    },
    "min-layer-size": {
      type: "string",
      value: "BYTES",
      meaning: "For soci: smaller layers get no index, since they are pulled whole as fast (10485760).",
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
    ...imageOptions,
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
    await using registry = await openRegistry(input, [from!, to!]);
    await using source = await openImageSource(from!, registry);
    await using target = await openImageTarget(to!, registry);
    using stop = signalled();
    const progress = progressOf(input);
    try {
      const report = await convertImage({
        source,
        target,
        layers,
        platforms,
        scratchFolder: scratchFolder(input),
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
    throw usageError(`want --to ${targetFormats.join("|")}, got ${format ?? "none"}`);
  }
  const dialect = input.options.dialect?.at(-1);
  if (dialect !== undefined && dialect !== "stargz" && dialect !== "containers") {
    throw usageError(`want --dialect stargz|containers, got ${dialect}`);
  }
  const list = input.options.prioritize?.at(-1);
  return layerOptions({
    format: format as TargetFormat,
    chunkSizeBytes: numberOption(input, "chunk-size"),
    streamSizeMinBytes: numberOption(input, "min-chunk-size"),
    level: numberOption(input, "level"),
    spanSizeBytes: numberOption(input, "span-size"),
    layerSizeMinBytes: numberOption(input, "min-layer-size"),
    isTocExternal: input.options["external-toc"] !== undefined,
    dialect,
    prioritized: list === undefined ? [] : await readPaths(list),
  });
}

/** Paths a line, or JSON objects a line with a `path`, as `ctr-remote image optimize --record-out` writes them. */
async function readPaths(file: string): Promise<LayerOptions["prioritized"]> {
  const text = await readFile(file, "utf8");
  if (text.length > LIST_BYTES_MAX) throw usageError(`want at most ${LIST_BYTES_MAX} bytes in ${file}`);
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
  throw usageError(`want a path or JSON with one in each line of ${file}, got ${line.slice(0, 80)}`);
}

function resultOf(report: ConvertReport, target: string): CommandResult {
  const tocLine = report.tocImage === undefined ? "" : `TOCs: ${report.tocImage}\n`;
  return {
    data: { target, ...report },
    text: `${layerTable(report.manifests)}\n${tocLine}${target}: ${report.digest}\n`,
  };
}

/** What became of each layer. */
export function layerTable(manifests: readonly ManifestReport[]): string {
  const rows = manifests.flatMap(({ platform, layers }) =>
    layers.map(({ source, action, note, sourceBytes, targetBytes }) => [
      platform,
      source.slice(0, 19),
      note === undefined ? action : `${action} (${note})`,
      humanBytes(sourceBytes),
      humanBytes(targetBytes),
    ]),
  );
  return table(["PLATFORM", "LAYER", "WHAT", "BEFORE", "AFTER"], rows);
}
