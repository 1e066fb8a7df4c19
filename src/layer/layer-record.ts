import { type Digest, parseDigest } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { LayerFormat, LayerOrigin, LayerOwner } from "./contract.js";

export const RECORD_VERSION = 2;

/** Both ends included. */
export interface UnitRange {
  readonly first: number;
  readonly last: number;
}

/** What a start is expected to read: the blob from its beginning, some units in this order, nothing, or nobody knows. */
export type PrefetchHint =
  | { readonly kind: "range"; readonly end: number }
  | { readonly kind: "units"; readonly ranges: readonly UnitRange[] }
  | { readonly kind: "none" | "unknown" };

/** layer.json: the facts of a layer that stand in no other file. */
export interface LayerRecord {
  /** Names the layer in the native plane and in mounts; never used twice on a node while it has layers. */
  readonly number: number;
  readonly digest: Digest;
  readonly format: LayerFormat;
  readonly mediaType: string;
  /** Of what the index was made from: a TOC, a zTOC, or the uncompressed archive. */
  readonly indexDigest: Digest;
  /** Of the uncompressed archive, where it is still to be checked; undefined: nothing to check. */
  readonly diffId: Digest | undefined;
  /** What the units lie in: the blob, what processors make of it, or what either decodes to. */
  readonly blobSize: number;
  /** Whether the units lie in what is decoded: it can only be decoded as a whole. */
  readonly isDecoded: boolean;
  /** Annotations for the processors that the blob has to go through; undefined: it goes through none. */
  readonly processing?: { readonly annotations: Readonly<Record<string, string>> } | undefined;
  readonly origin: LayerOrigin;
  readonly prefetch: PrefetchHint;
  /** Of the root of the tree. */
  readonly rootOwner: LayerOwner;
  /** Of the meta image, which has no checksum of its own. */
  readonly metaSha256: Digest;
}

export function encodeRecord(record: LayerRecord): Buffer {
  return Buffer.from(`${JSON.stringify({ version: RECORD_VERSION, ...record }, undefined, 2)}\n`);
}

/** Reads a layer.json that we wrote, perhaps on a bad disk. @throws DATA_LOSS */
export function decodeRecord(bytes: Buffer): LayerRecord {
  try {
    const value = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
    if (value["version"] !== RECORD_VERSION) throw damaged("the version is unknown");
    const owner = object(value["rootOwner"], "rootOwner");
    const origin = object(value["origin"], "origin");
    const size = origin["size"];
    return {
      number: wholeNumber(value["number"], "number", 1, 2 ** 32 - 2),
      digest: parseDigest(value["digest"]),
      format: formatOf(value["format"]),
      mediaType: text(value["mediaType"], "mediaType"),
      indexDigest: parseDigest(value["indexDigest"]),
      diffId: value["diffId"] === undefined ? undefined : parseDigest(value["diffId"]),
      blobSize: wholeNumber(value["blobSize"], "blobSize", 1, Number.MAX_SAFE_INTEGER),
      // A record of an earlier release has none.
      isDecoded: value["isDecoded"] === true,
      processing: processingOf(value["processing"]),
      origin: {
        reference: text(origin["reference"], "origin.reference"),
        size: size === undefined ? undefined : wholeNumber(size, "origin.size", 0, Number.MAX_SAFE_INTEGER),
      },
      prefetch: prefetchOf(object(value["prefetch"], "prefetch")),
      rootOwner: {
        uid: wholeNumber(owner["uid"], "rootOwner.uid", 0, 2 ** 32 - 1),
        gid: wholeNumber(owner["gid"], "rootOwner.gid", 0, 2 ** 32 - 1),
      },
      metaSha256: parseDigest(value["metaSha256"]),
    };
  } catch (thrown) {
    throw damaged(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

const formats: readonly LayerFormat[] = ["estargz", "zstdchunked", "fine", "soci", "gzip", "zstd", "tar"];

function formatOf(value: unknown): LayerFormat {
  const format = formats.find((known) => known === value);
  if (format === undefined) throw damaged("the format is unknown");
  return format;
}

function prefetchOf(value: Record<string, unknown>): PrefetchHint {
  const kind = value["kind"];
  if (kind === "none" || kind === "unknown") return { kind };
  if (kind === "units") return { kind, ranges: rangesOf(value["ranges"]) };
  return { kind: "range", end: wholeNumber(value["end"], "prefetch.end", 0, Number.MAX_SAFE_INTEGER) };
}

function rangesOf(value: unknown): UnitRange[] {
  if (!Array.isArray(value)) throw damaged("prefetch.ranges is no list");
  return value.map((range) => {
    const fields = object(range, "prefetch.ranges");
    const first = wholeNumber(fields["first"], "prefetch.ranges.first", 0, 2 ** 32 - 1);
    return { first, last: wholeNumber(fields["last"], "prefetch.ranges.last", first, 2 ** 32 - 1) };
  });
}

function processingOf(value: unknown): LayerRecord["processing"] {
  if (value === undefined) return undefined;
  const annotations = object(object(value, "processing")["annotations"], "processing.annotations");
  for (const [key, annotation] of Object.entries(annotations)) text(annotation, key);
  return { annotations: annotations as Readonly<Record<string, string>> };
}

function damaged(what: string): Error {
  return dataLoss(`Cannot use layer.json: ${what}`, { reason: "layer-record-damaged" });
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw damaged(`${name} is not an object`);
  return value as Record<string, unknown>;
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw damaged(`${name} is not a text`);
  return value;
}

function wholeNumber(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) {
    throw damaged(`${name} is not a number from ${least} to ${most}`);
  }
  return value;
}
