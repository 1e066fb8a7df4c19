import { bytesOfBuffer, type Digest, digestAlgorithm, parseDigest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { FlatBuffer, FlatTable } from "./flatbuffer-reader.js";
import { DATA_BYTES_MAX, ENTRIES_MAX, PAX_RECORDS_MAX, SPANS_MAX, ZTOC_BYTES_MAX } from "./limits.js";
import { refuseZtoc, refuseZtocSize, shown } from "./refusal.js";
import { parseTime } from "./rfc3339.js";
import {
  type Algorithm,
  algorithmNumbers,
  type EntryType,
  fields,
  type PaxRecord,
  type Ztoc,
  type ZtocEntry,
} from "./ztoc.js";

const versions = ["0.9", "1.0"];
const entryTypes: readonly string[] = ["reg", "hardlink", "symlink", "dir", "char", "block", "fifo"];
/** Version and name of the tool, for messages and the index. */
const LABEL_BYTES_MAX = 1024;
const EMPTY: readonly PaxRecord[] = [];

/**
 * Reads a zTOC whose digest was checked. Its texts stay part of `bytes`.
 *
 * @throws INVALID_ARGUMENT with a ZtocReason, RESOURCE_EXHAUSTED with a ZtocLimit
 */
export function readZtoc(bytes: Buffer): Ztoc {
  if (bytes.length > ZTOC_BYTES_MAX) {
    throw refuseZtocSize("ztoc-too-large", `want at most ${ZTOC_BYTES_MAX} bytes, got ${bytes.length}`);
  }
  const table = new FlatBuffer(bytes).root();
  const version = labelOf(table, fields.ztoc.version);
  if (!versions.includes(version)) {
    throw refuseZtoc("ztoc-version", `want version ${versions.join(" or ")}, got ${shown(version)}`);
  }
  const toc = table.table(fields.ztoc.toc);
  const info = table.table(fields.ztoc.compressionInfo);
  if (toc === undefined || info === undefined) {
    throw refuseZtoc("ztoc-flatbuffer", "it has no files or no checkpoints");
  }
  const metadata = toc.offsets(fields.toc.metadata);
  if (metadata.count > ENTRIES_MAX) {
    throw refuseZtocSize("ztoc-too-many-entries", `want at most ${ENTRIES_MAX}, got ${metadata.count}`);
  }
  return {
    version,
    buildTool: labelOf(table, fields.ztoc.buildTool),
    algorithm: algorithmOf(info),
    compressedSize: numberOf(table, fields.ztoc.compressedSize),
    uncompressedSize: numberOf(table, fields.ztoc.uncompressedSize),
    spanDigests: spanDigestsOf(info),
    zinfo: info.byteVector(fields.compressionInfo.checkpoints),
    entryCount: metadata.count,
    *entries() {
      for (let index = 0; index < metadata.count; index++) {
        yield readEntry(new FlatTable(table.buffer, metadata.at(index)), index);
      }
    },
  };
}

function algorithmOf(info: FlatTable): Algorithm {
  const number = info.int8(fields.compressionInfo.algorithm, algorithmNumbers.gzip);
  for (const [name, known] of Object.entries(algorithmNumbers)) {
    if (number === known) return name as Algorithm;
  }
  throw refuseZtoc("ztoc-algorithm", `the compression algorithm ${number} is unknown`);
}

function spanDigestsOf(info: FlatTable): Digest[] {
  const offsets = info.offsets(fields.compressionInfo.spanDigests);
  const last = info.int32(fields.compressionInfo.maxSpanId);
  if (offsets.count > SPANS_MAX) {
    throw refuseZtocSize("ztoc-too-many-spans", `want at most ${SPANS_MAX}, got ${offsets.count}`);
  }
  if (last < 0 || last + 1 !== offsets.count) {
    throw refuseZtoc("ztoc-span-count", `the last span is ${last}, but there are ${offsets.count} digests`);
  }
  return Array.from({ length: offsets.count }, (_, index) => {
    const text = info.buffer.text(offsets.at(index)).toString("latin1");
    try {
      const digest = parseDigest(text);
      if (digestAlgorithm(digest) === "sha256") return digest;
    } catch (error) {
      // What parseDigest() says is less than what is said below.
      if (!(error instanceof LazuliError)) throw error;
    }
    throw refuseZtoc("ztoc-span-digest", `want sha256 for span ${index}, got ${shown(text)}`);
  });
}

function readEntry(table: FlatTable, index: number): ZtocEntry {
  const field = fields.entry;
  const type = table.text(field.type).toString("latin1");
  if (!entryTypes.includes(type)) {
    throw refuseZtoc("ztoc-entry-type", `the type ${shown(type)} is unknown`, index);
  }
  return {
    name: bytesOfBuffer(table.text(field.name)),
    type: type as EntryType,
    dataOffset: numberOf(table, field.dataOffset, index),
    size: numberOf(table, field.size, index),
    linkName: bytesOfBuffer(table.text(field.linkName)),
    mode: numberOf(table, field.mode, index),
    uid: table.uint32(field.uid),
    gid: table.uint32(field.gid),
    userName: bytesOfBuffer(table.text(field.userName)),
    groupName: bytesOfBuffer(table.text(field.groupName)),
    mtime: parseTime(table.text(field.modificationTime).toString("latin1"), index),
    deviceMajor: numberOf(table, field.deviceMajor, index),
    deviceMinor: numberOf(table, field.deviceMinor, index),
    paxRecords: paxRecordsOf(table, index),
  };
}

function paxRecordsOf(table: FlatTable, entry: number): readonly PaxRecord[] {
  const offsets = table.offsets(fields.entry.paxRecords);
  if (offsets.count === 0) return EMPTY;
  if (offsets.count > PAX_RECORDS_MAX) {
    throw refuseZtoc("ztoc-xattr", `want at most ${PAX_RECORDS_MAX} PAX records`, entry);
  }
  const seen = new Set<string>();
  return Array.from({ length: offsets.count }, (_, index) => {
    const record = new FlatTable(table.buffer, offsets.at(index));
    const key = bytesOfBuffer(record.text(fields.paxRecord.key));
    if (seen.has(key)) throw refuseZtoc("ztoc-xattr", `the PAX record ${shown(key)} comes twice`, entry);
    seen.add(key);
    return { key, value: record.text(fields.paxRecord.value) };
  });
}

/** Sizes, offsets and modes are signed 64-bit numbers that no sane tar makes negative or this large. */
function numberOf(table: FlatTable, field: number, entry?: number): number {
  const value = table.int64(field);
  if (value >= 0n && value <= BigInt(DATA_BYTES_MAX)) return Number(value);
  throw refuseZtoc("ztoc-number", `want 0 to ${DATA_BYTES_MAX}, got ${value}`, entry);
}

function labelOf(table: FlatTable, field: number): string {
  const text = table.text(field);
  if (text.length > LABEL_BYTES_MAX)
    throw refuseZtocSize("ztoc-too-large", "the name of its tool is too long");
  return text.toString("utf8");
}
