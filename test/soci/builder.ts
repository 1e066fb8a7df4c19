import { gzipSync } from "node:zlib";
import { type ByteString, bytesOfText, type Digest, sha256 } from "../../src/bytes/index.js";
import {
  type Algorithm,
  type Checkpoint,
  encodeGzipZinfo,
  encodeTarZinfo,
  encodeZtoc,
  type PaxRecord,
  type SpanLayout,
  spanRanges,
  type ZtocEntry,
} from "../../src/soci/index.js";
import { contentOf, type LayerEntry, modeOf, padding, tarHeader } from "../../testing/estargz-tar.js";
import { inflate } from "./inflate.js";

export const WINDOW = 32_768;
const GZIP_HEADER = 10;
const GZIP_TRAILER = 8;

export interface BuiltSoci {
  readonly tar: Buffer;
  readonly blob: Buffer;
  readonly entries: readonly ZtocEntry[];
  readonly checkpoints: readonly Checkpoint[];
  readonly zinfo: Buffer;
  readonly spanDigests: readonly Digest[];
  readonly algorithm: Algorithm;
  readonly ztoc: Buffer;
}

export interface BuildOptions {
  readonly spanSize?: number;
  readonly algorithm?: Algorithm;
  readonly level?: number;
  readonly zinfoVersion?: 1 | 2;
  /** Bytes of the tar in each gzip member; one member unless given. */
  readonly memberSize?: number;
}

/** A layer with its zTOC, from entries as testing/estargz-tar.ts has them. */
export function buildSoci(layer: readonly LayerEntry[], options: BuildOptions = {}): BuiltSoci {
  const { tar, entries } = buildTar(layer);
  const spanSize = options.spanSize ?? 65_536;
  const isTar = options.algorithm === "uncompressed";
  const blob = isTar ? tar : gzipMembers(tar, options);
  const checkpoints = isTar ? tarCheckpoints(tar, spanSize) : findCheckpoints(blob, spanSize);
  const zinfo = isTar
    ? encodeTarZinfo({ spanSize, size: tar.length })
    : encodeGzipZinfo({ version: options.zinfoVersion ?? 2, spanSize, checkpoints });
  const spanDigests = spanRanges(checkpoints, blob.length).map(({ start, end }) =>
    sha256(blob.subarray(start, end)),
  );
  const algorithm = options.algorithm ?? "gzip";
  const facts = { compressedSize: blob.length, uncompressedSize: tar.length, spanDigests, zinfo, algorithm };
  const ztoc = encodeZtoc({ ...facts, entries, buildTool: "lazuli test" });
  return { tar, blob, entries, checkpoints, zinfo, spanDigests, algorithm, ztoc };
}

export function buildTar(layer: readonly LayerEntry[]): { tar: Buffer; entries: ZtocEntry[] } {
  const parts: Buffer[] = [];
  const entries: ZtocEntry[] = [];
  let end = 0;
  for (const entry of layer) {
    const header = tarHeader(entry);
    const content = contentOf(entry);
    entries.push(ztocEntry(entry, end + header.length));
    parts.push(header, content, padding(content.length));
    end += header.length + content.length + padding(content.length).length;
  }
  return { tar: Buffer.concat([...parts, Buffer.alloc(1024)]), entries };
}

export function ztocEntry(entry: LayerEntry, dataOffset: number): ZtocEntry {
  return {
    name: bytesOfText(entry.name),
    type: entry.type,
    dataOffset,
    size: contentOf(entry).length,
    linkName: bytesOfText(entry.linkName ?? ""),
    mode: modeOf(entry),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    userName: "" as ByteString,
    groupName: "" as ByteString,
    mtime: { seconds: BigInt(entry.mtime ?? 0), nanoseconds: 0 },
    deviceMajor: entry.devMajor ?? 0,
    deviceMinor: entry.devMinor ?? 0,
    paxRecords: paxRecords(entry),
  };
}

/** What tarHeader() has put into a PAX header, since a zTOC keeps all of its records. */
function paxRecords(entry: LayerEntry): PaxRecord[] {
  const records = Object.entries(entry.xattrs ?? {}).map(([name, value]) =>
    paxRecord(`SCHILY.xattr.${name}`, value),
  );
  if (Buffer.byteLength(entry.name) > 100) records.push(paxRecord("path", entry.name));
  if (Buffer.byteLength(entry.linkName ?? "") > 100)
    records.push(paxRecord("linkpath", entry.linkName ?? ""));
  for (const key of ["uid", "gid"] as const) {
    if ((entry[key] ?? 0) > 0o7777777) records.push(paxRecord(key, String(entry[key])));
  }
  return records;
}

export function paxRecord(key: string, value: Buffer | string): PaxRecord {
  return { key: bytesOfText(key), value: Buffer.from(value) };
}

function gzipMembers(tar: Buffer, { level, memberSize }: BuildOptions): Buffer {
  const size = memberSize ?? tar.length;
  const members: Buffer[] = [];
  for (let at = 0; at < tar.length; at += size)
    members.push(gzipSync(tar.subarray(at, at + size), { level: level ?? 6 }));
  return Buffer.concat(members);
}

function tarCheckpoints(tar: Buffer, spanSize: number): Checkpoint[] {
  return Array.from({ length: Math.ceil(tar.length / spanSize) }, (_, index) => ({
    blobOffset: index * spanSize,
    dataOffset: index * spanSize,
    bits: 0,
    window: Buffer.alloc(WINDOW),
  }));
}

/** Where SOCI puts checkpoints: at the start, and at the first end of a block more than a span behind the last one. */
function findCheckpoints(blob: Buffer, spanSize: number): Checkpoint[] {
  const checkpoints: Checkpoint[] = [];
  let before: Buffer = Buffer.alloc(0);
  const add = (endBit: number, dataOffset: number, data: Buffer): void => {
    const last = checkpoints.at(-1)?.dataOffset;
    if (last !== undefined && dataOffset - last <= spanSize) return;
    const tail = data.subarray(Math.max(0, data.length - WINDOW));
    const window = Buffer.concat([Buffer.alloc(WINDOW - tail.length), tail]);
    checkpoints.push({ blobOffset: Math.ceil(endBit / 8), dataOffset, bits: (8 - (endBit & 7)) & 7, window });
  };
  for (let at = 0; at < blob.length; ) {
    const startBit = (at + GZIP_HEADER) * 8;
    const { data, blocks, endBit } = inflate({ bytes: blob, startBit, window: Buffer.alloc(0) });
    const whole = Buffer.concat([before, data]);
    add(startBit, before.length, before);
    for (const block of blocks) {
      const dataEnd = before.length + block.dataEnd;
      add(block.endBit, dataEnd, whole.subarray(0, dataEnd));
    }
    before = whole;
    at = Math.ceil(endBit / 8) + GZIP_TRAILER;
  }
  return checkpoints;
}

/** The data file that the units make of a blob, each unit for itself; and checks each digest as an engine does. */
export function decodeSpans(
  layout: Pick<SpanLayout, "units" | "windows" | "dataSize">,
  blob: Buffer,
): Buffer {
  const data = Buffer.alloc(layout.dataSize);
  for (const [index, unit] of layout.units.entries()) {
    const bytes = blob.subarray(unit.blobOffset, unit.blobOffset + unit.blobLength);
    if (sha256(bytes) !== `sha256:${Buffer.from(unit.sha256).toString("hex")}`) {
      throw new Error(`span ${index} has another digest`);
    }
    const window = layout.windows.subarray(index * WINDOW, (index + 1) * WINDOW);
    const decoded = unit.codec === "raw" ? bytes : decodeSpan(unit, bytes, window);
    if (decoded.length !== unit.dataLength) throw new Error(`span ${index} has ${decoded.length} bytes`);
    decoded.copy(data, unit.dataOffset);
  }
  return data;
}

/** Goes on behind the end of a gzip member with the next one. */
function decodeSpan(unit: SpanLayout["units"][number], bytes: Buffer, window: Buffer): Buffer {
  const parts: Buffer[] = [];
  let startBit = unit.innerOffset === 0 ? 0 : 8 - unit.innerOffset;
  let reach = window;
  for (let left = unit.dataLength; left > 0; ) {
    const { data, endBit } = inflate({ bytes, startBit, window: reach, length: left });
    parts.push(Buffer.from(data));
    left -= data.length;
    startBit = (Math.ceil(endBit / 8) + GZIP_TRAILER + GZIP_HEADER) * 8;
    reach = Buffer.alloc(0);
  }
  return Buffer.concat(parts);
}
