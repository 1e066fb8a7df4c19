import { digestBytes } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import {
  DIGEST_SIZE,
  FINE_HEADER_SIZE,
  FINE_MAGIC,
  FINE_SPAN_SIZE,
  FINE_VERSION,
  type FineSpan,
  type FineTable,
  fineCodecs,
} from "./fine-table.js";

/** Writes a table. Its parts must fit: parseFineTable() is what checks them. */
export function encodeFineTable(table: FineTable): Buffer {
  const { spans, leaves, packedTree } = table;
  assert(leaves.length % DIGEST_SIZE === 0, "leaves are whole digests");
  const head = Buffer.alloc(FINE_HEADER_SIZE + spans.length * FINE_SPAN_SIZE);
  writeHeader(head, table);
  for (const [index, span] of spans.entries()) {
    writeSpan(head.subarray(FINE_HEADER_SIZE + index * FINE_SPAN_SIZE), span);
  }
  return Buffer.concat([head, leaves, packedTree]);
}

function writeHeader(head: Buffer, table: FineTable): void {
  const { codec, layer, blobSize, dataSize, leafSize, spans, leaves, packedTree, treeSize, windows } = table;
  FINE_MAGIC.copy(head, 0);
  head.writeUInt32LE(FINE_VERSION, 8);
  head.writeUInt8(fineCodecs.indexOf(codec), 12);
  head.writeBigUInt64LE(BigInt(blobSize), 16);
  head.writeBigUInt64LE(BigInt(dataSize), 24);
  head.writeUInt32LE(leafSize, 32);
  head.writeUInt32LE(spans.length, 36);
  head.writeUInt32LE(leaves.length / DIGEST_SIZE, 40);
  head.writeUInt32LE(packedTree.length, 44);
  head.writeUInt32LE(treeSize, 48);
  head.writeBigUInt64LE(BigInt(windows?.size ?? 0), 56);
  head.set(digestBytes(layer), 64);
  if (windows !== undefined) head.set(digestBytes(windows.digest), 96);
}

function writeSpan(at: Buffer, { dataOffset, blobOffset, bits, window }: FineSpan): void {
  at.writeBigUInt64LE(BigInt(dataOffset), 0);
  at.writeBigUInt64LE(BigInt(blobOffset), 8);
  at.writeUInt32LE(window.length, 16);
  at.writeUInt32LE(window.crc, 20);
  at.writeUInt8(bits, 24);
  if (window.length > 0) at.set(window.sha256, 32);
}
