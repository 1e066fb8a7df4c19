import {
  type ByteString,
  bytesOfText,
  type Digest,
  type JsonBudget,
  parseDigest,
  parseJson,
  readJsonArray,
} from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import { type ReadBlob, tocBudget } from "../estargz/index.js";
import { type DecompressFrame, decodeFrame } from "./decode-frame.js";
import { TAR_SPLIT_LINE_BYTES_MAX } from "./limits.js";
import { readExactly, type TarSplitPlace } from "./open-zstd-chunked.js";
import { refuseBlob } from "./refusal.js";
import { tarSplitTypes } from "./tar-split-writer.js";

export interface ReadTarSplitOptions {
  readonly tarSplit: TarSplitPlace;
  /** The verified JSON: it may have the digest of the tar-split. */
  readonly toc: Buffer;
  readonly read: ReadBlob;
  readonly decompress: DecompressFrame;
  readonly signal?: AbortSignal | undefined;
}

/** A piece of the tar: bytes as they are, or the content of a file, which is to be had from the layer's tree. */
export type TarSplitPiece =
  | { readonly kind: "segment"; readonly bytes: Buffer }
  | {
      readonly kind: "file";
      /** As in the tar's header. */
      readonly name: ByteString;
      readonly size: number;
      /** Of the content, see Crc64; undefined for what has none. */
      readonly crc64: Buffer | undefined;
    };

const lineBudget: JsonBudget = { maxBytes: TAR_SPLIT_LINE_BYTES_MAX, maxDepth: 2, maxNodes: 16 };
const NEWLINE = 0x0a;
const CRC_BYTES = 8;

/**
 * Reads and verifies the JSON lines of a layer's tar-split.
 * @throws FAILED_PRECONDITION `tar-split-digest-missing`; DATA_LOSS `tar-split-digest-mismatch`, `short-read`;
 * INVALID_ARGUMENT `tar-split-zstd-malformed`, `digest-invalid`; RESOURCE_EXHAUSTED `tar-split-too-large`
 */
export async function readTarSplit(options: ReadTarSplitOptions): Promise<Buffer> {
  const { tarSplit: place, decompress, signal } = options;
  const checksums = [place.checksum, digestInToc(options.toc)].filter((digest) => digest !== undefined);
  if (checksums.length === 0) {
    throw failedPrecondition("Cannot use tar-split: neither annotations nor TOC have its digest", {
      reason: "tar-split-digest-missing",
    });
  }
  const frame = await readExactly(options, place.offset, place.compressedSize);
  return await decodeFrame({ frame, place, decompress, checksums, what: "tar-split", signal });
}

function digestInToc(toc: Buffer): Digest | undefined {
  const { head } = readJsonArray(toc, "entries", tocBudget);
  if (typeof head !== "object" || head === null || !Object.hasOwn(head, "tarSplitDigest")) return undefined;
  return parseDigest((head as { tarSplitDigest: unknown }).tarSplitDigest);
}

/** The pieces of a tar in their order. @throws INVALID_ARGUMENT `tar-split-malformed`, or what parseJson() throws */
export function* parseTarSplit(lines: Buffer): Generator<TarSplitPiece, void, undefined> {
  let position = 0;
  for (let start = 0; start < lines.length; ) {
    const newline = lines.indexOf(NEWLINE, start);
    const end = newline < 0 ? lines.length : newline;
    yield pieceOf(parseJson(lines.subarray(start, end), lineBudget), position);
    position += 1;
    start = end + 1;
  }
}

function pieceOf(line: unknown, position: number): TarSplitPiece {
  if (typeof line !== "object" || line === null || Array.isArray(line))
    throw malformed("is no object", position);
  const fields = line as Readonly<Record<string, unknown>>;
  if (fields.position !== position) throw malformed("is not in its place", position);
  const payload = base64At(fields, "payload", position);
  if (fields.type === tarSplitTypes.segment) return { kind: "segment", bytes: payload ?? Buffer.alloc(0) };
  if (fields.type !== tarSplitTypes.file) throw malformed("has an unknown type", position);
  const { name, size = 0 } = fields;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw malformed("has a wrong size", position);
  if (payload !== undefined && payload.length !== CRC_BYTES)
    throw malformed("has a wrong checksum", position);
  if (size > 0 && payload === undefined) throw malformed("has content without a checksum", position);
  const raw = base64At(fields, "name_raw", position);
  if (raw === undefined && typeof name !== "string") throw malformed("has no name", position);
  const bytes = raw === undefined ? bytesOfText(name as string) : (raw.toString("latin1") as ByteString);
  return { kind: "file", name: bytes, size, crc64: payload };
}

function base64At(
  fields: Readonly<Record<string, unknown>>,
  key: string,
  position: number,
): Buffer | undefined {
  const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
  if (value === undefined || value === null) return undefined;
  const bytes = typeof value === "string" ? Buffer.from(value, "base64") : undefined;
  // Node passes over what is no base64.
  if (bytes?.toString("base64") !== value) throw malformed(`has no base64 in ${key}`, position);
  return bytes;
}

function malformed(problem: string, position: number): Error {
  return refuseBlob("tar-split-malformed", `line ${position} of the tar-split ${problem}`);
}
