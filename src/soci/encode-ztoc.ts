import { type ByteString, bufferOfBytes, compareBytes } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import { type FlatOffset, FlatWriter } from "./flatbuffer-writer.js";
import { formatTime } from "./rfc3339.js";
import { algorithmNumbers, fields, ZTOC_VERSION, type ZtocEntry, type ZtocFacts } from "./ztoc.js";

export interface EncodeZtocOptions extends Omit<ZtocFacts, "version"> {
  /** In the order of the tar. */
  readonly entries: readonly ZtocEntry[];
}

/** How many fields a table has at most. */
const ENTRY_FIELDS = 14;

/**
 * Writes a zTOC byte for byte as `soci create` does from the same facts. `zinfo` is what encodeGzipZinfo() or
 * encodeTarZinfo() made, `spanDigests` are those of spanRanges().
 */
export function encodeZtoc(options: EncodeZtocOptions): Buffer {
  const { entries, spanDigests, algorithm } = options;
  assert(spanDigests.length > 0, "a layer has a span");
  const writer = new FlatWriter();
  const version = writer.text(Buffer.from(ZTOC_VERSION));
  const buildTool = writer.text(Buffer.from(options.buildTool));
  const rows = new Array<FlatOffset>(entries.length);
  for (let index = entries.length - 1; index >= 0; index--) rows[index] = writeEntry(writer, entries[index]!);
  const metadata = writer.offsetVector(rows);
  writer.startTable(1);
  writer.offset(fields.toc.metadata, metadata);
  const toc = writer.endTable();

  const checkpoints = writer.byteVector(options.zinfo);
  const digests = writer.offsetVector(spanDigests.map((digest) => writer.text(Buffer.from(digest))));
  writer.startTable(4);
  writer.int32(fields.compressionInfo.maxSpanId, spanDigests.length - 1);
  writer.offset(fields.compressionInfo.spanDigests, digests);
  writer.offset(fields.compressionInfo.checkpoints, checkpoints);
  writer.int8(fields.compressionInfo.algorithm, algorithmNumbers[algorithm], algorithmNumbers.gzip);
  const compressionInfo = writer.endTable();

  writer.startTable(6);
  writer.offset(fields.ztoc.version, version);
  writer.offset(fields.ztoc.buildTool, buildTool);
  writer.offset(fields.ztoc.toc, toc);
  writer.int64(fields.ztoc.compressedSize, options.compressedSize);
  writer.int64(fields.ztoc.uncompressedSize, options.uncompressedSize);
  writer.offset(fields.ztoc.compressionInfo, compressionInfo);
  return writer.finish(writer.endTable());
}

function writeEntry(writer: FlatWriter, entry: ZtocEntry): FlatOffset {
  const field = fields.entry;
  const text = (bytes: ByteString): FlatOffset => writer.text(bufferOfBytes(bytes));
  const name = text(entry.name);
  const type = writer.text(Buffer.from(entry.type));
  const linkName = text(entry.linkName);
  const userName = text(entry.userName);
  const groupName = text(entry.groupName);
  const modificationTime = writer.text(Buffer.from(formatTime(entry.mtime)));
  const paxRecords = writePaxRecords(writer, entry);
  writer.startTable(ENTRY_FIELDS);
  writer.offset(field.name, name);
  writer.offset(field.type, type);
  writer.int64(field.dataOffset, entry.dataOffset);
  writer.int64(field.size, entry.size);
  writer.offset(field.linkName, linkName);
  writer.int64(field.mode, entry.mode);
  writer.uint32(field.uid, entry.uid);
  writer.uint32(field.gid, entry.gid);
  writer.offset(field.userName, userName);
  writer.offset(field.groupName, groupName);
  writer.offset(field.modificationTime, modificationTime);
  writer.int64(field.deviceMajor, entry.deviceMajor);
  writer.int64(field.deviceMinor, entry.deviceMinor);
  writer.offset(field.paxRecords, paxRecords);
  return writer.endTable();
}

function writePaxRecords(writer: FlatWriter, entry: ZtocEntry): FlatOffset {
  const records = entry.paxRecords.toSorted((left, right) => compareBytes(left.key, right.key));
  const rows = records.map(({ key, value }) => {
    const keyOffset = writer.text(bufferOfBytes(key));
    const valueOffset = writer.text(value);
    writer.startTable(2);
    writer.offset(fields.paxRecord.key, keyOffset);
    writer.offset(fields.paxRecord.value, valueOffset);
    return writer.endTable();
  });
  return writer.offsetVector(rows);
}
