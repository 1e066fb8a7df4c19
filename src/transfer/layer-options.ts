import type { ByteString } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import type { TocDialect } from "../estargz/index.js";

export const targetFormats = ["estargz", "zstdchunked", "soci", "uncompressed"] as const;
export type TargetFormat = (typeof targetFormats)[number];

/** What decides about the bytes of a converted layer. */
export interface LayerOptions {
  readonly format: TargetFormat;
  /** Longer files are cut into chunks of this. */
  readonly chunkSizeBytes: number;
  /** Small files share a stream until it has this many bytes; 0: each has one of its own, which every reader knows. */
  readonly streamSizeMinBytes: number;
  /** 1 to 9 for gzip, 1 to 19 for zstd. */
  readonly level: number;
  /** Of eStargz: the TOC lies in an image of its own, and the diff ids stay. */
  readonly isTocExternal: boolean;
  /** Of zstd:chunked: who is to read it. */
  readonly dialect: TocDialect;
  /** Of SOCI: what a span of the tar has at least; a reader fetches whole spans. */
  readonly spanSizeBytes: number;
  /** Of SOCI: smaller layers get no zTOC. */
  readonly layerSizeMinBytes: number;
  /** Files to put in front, without a slash at either end. */
  readonly prioritized: readonly ByteString[];
}

/** SOCI's own. */
export const SPAN_BYTES = 4 * 1024 * 1024;
const LAYER_BYTES_MIN = 10 * 1024 * 1024;
const SPAN_BYTES_MIN = 65_536;
export const CHUNK_BYTES = 4 * 1024 * 1024;
/** A chunk is compressed in one piece, and a reader holds it in memory. */
export const CHUNK_BYTES_MAX = 64 * 1024 * 1024;
export const CHUNK_BYTES_MIN = 4096;

const levels = {
  estargz: { initial: 6, max: 9 },
  zstdchunked: { initial: 3, max: 19 },
  soci: { initial: 1, max: 1 },
  uncompressed: { initial: 1, max: 1 },
};

/** Fills in what was not given, and checks the rest. @throws INVALID_ARGUMENT */
export function layerOptions(
  given: Pick<LayerOptions, "format"> & {
    readonly [Key in Exclude<keyof LayerOptions, "format">]?: LayerOptions[Key] | undefined;
  },
): LayerOptions {
  const { format } = given;
  const isPacked = format === "estargz" || format === "zstdchunked";
  const { initial, max } = levels[format];
  const options: LayerOptions = {
    format,
    chunkSizeBytes: given.chunkSizeBytes ?? CHUNK_BYTES,
    streamSizeMinBytes: given.streamSizeMinBytes ?? 0,
    level: given.level ?? initial,
    isTocExternal: given.isTocExternal ?? false,
    dialect: given.dialect ?? "stargz",
    prioritized: given.prioritized ?? [],
    spanSizeBytes: given.spanSizeBytes ?? SPAN_BYTES,
    layerSizeMinBytes: given.layerSizeMinBytes ?? LAYER_BYTES_MIN,
  };
  requireRange("a chunk size", options.chunkSizeBytes, { min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX });
  requireRange("a least stream size", options.streamSizeMinBytes, { min: 0, max: CHUNK_BYTES_MAX });
  requireRange("a span size", options.spanSizeBytes, { min: SPAN_BYTES_MIN, max: CHUNK_BYTES_MAX });
  requireRange("a least layer size", options.layerSizeMinBytes, { min: 0, max: Number.MAX_SAFE_INTEGER });
  if (isPacked) requireRange(`a level for ${format}`, options.level, { min: 1, max });
  if (options.isTocExternal && format !== "estargz") {
    throw refuse(`an external TOC goes with estargz only, got ${format}`);
  }
  if (options.isTocExternal && options.prioritized.length > 0) {
    throw refuse("an external TOC keeps the layer's tar as it is, and prioritized files would move in it");
  }
  if (!isPacked && options.prioritized.length > 0) {
    throw refuse("only estargz and zstdchunked have prioritized files");
  }
  if (options.dialect === "containers" && (format !== "zstdchunked" || options.streamSizeMinBytes > 0)) {
    throw refuse("the containers dialect goes with zstdchunked only, and its files share no stream");
  }
  return options;
}

function requireRange(what: string, value: number, range: { min: number; max: number }): void {
  const { min, max } = range;
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw refuse(`want ${what} from ${min} to ${max}, got ${value}`);
  }
}

function refuse(problem: string): Error {
  return invalidArgument(`Cannot convert: ${problem}`, {
    reason: "convert-options",
    hint: "`lazuli convert --help` shows what goes together",
  });
}
