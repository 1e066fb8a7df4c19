import { isUtf8 } from "node:buffer";
import type { ByteString, Digest } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import type { FileTime, Xattr } from "../tree/index.js";
import { refuseToc, shown } from "./refusal.js";

/** Who reads what a TOC writer writes: stargz-snapshotter, or containers/storage. */
export type TocDialect = "stargz" | "containers";

/** An entry of the tar, for the TOC. Names and targets as the tar has them. */
export interface WrittenEntry {
  readonly name: ByteString;
  readonly type: "dir" | "reg" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: FileTime;
  readonly xattrs: readonly Xattr[];
  /** Bytes of a `reg`; 0 unless given. */
  readonly size?: number;
  /** Of a symbolic or hard link. */
  readonly linkName?: ByteString;
  readonly devMajor?: number;
  readonly devMinor?: number;
}

/** A piece of a file, at the start of a stream (gzip member, zstd frame) or inside it. */
export interface WrittenChunk {
  /** Which stream of the blob, counted from 0. */
  readonly stream: number;
  /** Where it begins in the decoded stream. */
  readonly innerOffset: number;
  readonly length: number;
  /** sha256 of the piece. */
  readonly digest: Digest;
  /** The piece is zeros: a reader of the containers dialect makes a hole of it. */
  readonly isZeros?: boolean;
}

/** A file with its chunks, whose places are known. */
export interface PlacedFile {
  readonly digest: Digest;
  readonly chunks: readonly WrittenChunk[];
  readonly offsets: readonly number[];
  /** Where the stream of the last chunk ends. */
  readonly end: number;
}

const SECONDS_MIN = BigInt(Date.UTC(0, 0, 1) / 1000);
const SECONDS_MAX = 253_402_300_799n;

/** The entry of a TOC as JSON, and its chunks' as further ones. @throws INVALID_ARGUMENT for what JSON can't hold */
export function entryJson(options: {
  readonly entry: WrittenEntry;
  /** Its place in the TOC, for messages. */
  readonly index: number;
  readonly dialect: TocDialect;
  /** Undefined for what has no content. */
  readonly file: PlacedFile | undefined;
}): string[] {
  const { entry, index, dialect, file } = options;
  const name = tocText(entry.name, index);
  const fields = {
    name,
    type: entry.type,
    size: entry.size || undefined,
    modtime: timeText(entry.mtime, index),
    linkName: entry.linkName === undefined ? undefined : tocText(entry.linkName, index),
    mode: entry.mode || undefined,
    uid: entry.uid || undefined,
    gid: entry.gid || undefined,
    devMajor: entry.devMajor || undefined,
    devMinor: entry.devMinor || undefined,
    xattrs: xattrsJson(entry.xattrs, index),
  };
  if (file === undefined) return [JSON.stringify(fields)];
  const end = dialect === "containers" ? file.end : undefined;
  const lines: string[] = [];
  let chunkOffset = 0;
  for (const [at, chunk] of file.chunks.entries()) {
    const common = at === 0 ? { ...fields, digest: file.digest, endOffset: end } : { name, type: "chunk" };
    lines.push(JSON.stringify({ ...common, ...chunkFields({ file, at, chunkOffset, dialect }) }));
    chunkOffset += chunk.length;
  }
  assert(chunkOffset === entry.size, "the chunks are the file");
  return lines;
}

function chunkFields(place: {
  readonly file: PlacedFile;
  readonly at: number;
  readonly chunkOffset: number;
  readonly dialect: TocDialect;
}): object {
  const { file, at, chunkOffset, dialect } = place;
  const chunk = file.chunks[at]!;
  const isZeros = chunk.isZeros === true && dialect === "containers";
  const isAlone = file.chunks.length === 1;
  return {
    offset: file.offsets[at] || undefined,
    innerOffset: chunk.innerOffset || undefined,
    chunkOffset: chunkOffset || undefined,
    // Without a size, a chunk is the rest of its file; containers/storage writes neither size nor digest of an only one.
    chunkSize: isAlone && !isZeros ? undefined : chunk.length,
    chunkDigest: isAlone && !isZeros && dialect === "containers" ? undefined : chunk.digest,
    chunkType: isZeros ? "zeros" : undefined,
  };
}

/** A name as text. One that is not UTF-8 can't be in a TOC, nor can U+FFFD, which readers take for such a one. */
function tocText(bytes: ByteString, index: number): string {
  const raw = Buffer.from(bytes, "latin1");
  const text = raw.toString("utf8");
  if (!isUtf8(raw) || text.includes("\ufffd")) {
    throw refuseToc("toc-name-lossy", `${shown(text)} can't be written as JSON`, index);
  }
  if (text.includes("\0")) throw refuseToc("toc-name", `${shown(text)} has a NUL`, index);
  return text;
}

/** RFC 3339 in UTC, with a fraction only where there is one; nothing for the epoch, which readers take for it. */
function timeText(time: FileTime, index: number): string | undefined {
  const { seconds, nanoseconds } = time;
  if (seconds === 0n && nanoseconds === 0) return undefined;
  if (seconds < SECONDS_MIN || seconds > SECONDS_MAX) {
    throw refuseToc("toc-time", `${seconds} seconds are in no year of four digits`, index);
  }
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  const fraction = nanoseconds === 0 ? "" : `.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
  return `${whole}${fraction}Z`;
}

/** Sorted by name, so that the same entry always makes the same bytes. */
function xattrsJson(xattrs: readonly Xattr[], index: number): Record<string, string> | undefined {
  if (xattrs.length === 0) return undefined;
  const sorted = [...xattrs].sort((left, right) => (left.name < right.name ? -1 : 1));
  // Without a prototype, "__proto__" is a name like any other.
  const json: Record<string, string> = Object.create(null);
  for (const { name, value } of sorted) json[tocText(name, index)] = value.toString("base64");
  return json;
}
