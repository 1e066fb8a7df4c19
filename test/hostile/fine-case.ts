import { gzipSync } from "node:zlib";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { type CompiledFine, compileFine, type FineTable, parseFineTable } from "../../src/fine/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { BlobSource, RangeRequest } from "../../src/registry/index.js";
import { buildFine } from "../../src/transfer/build-fine.js";
import { rawTar } from "../../testing/tar/index.js";

/** A layer with our index, as the builder makes it. */
export interface FineSample {
  readonly tar: Buffer;
  readonly blob: Buffer;
  readonly layer: Digest;
  readonly table: Buffer;
  readonly windows: Buffer;
  readonly headers: Buffer;
  readonly parsed: FineTable;
}

export const SPAN_BYTES = 65_536;
export const LEAF_BYTES = 4096;

/** Bytes that compress a little, and refer back far. */
export function prose(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    const isOld = at > 30_000 && ((state >>> 16) & 7) < 5;
    bytes[at] = isOld ? bytes[at - 29_000]! : 97 + ((state >>> 16) % 23);
  }
  return bytes;
}

export function sampleTar(): Buffer {
  return Buffer.from(
    rawTar(
      { name: "folder", type: "5" },
      { name: "folder/one", content: prose(150_000, 1) },
      { name: "link", type: "2", link: "folder/one" },
      { name: "two", content: prose(90_001, 2) },
      { name: "empty" },
    ),
  );
}

export function memoryBlob(bytes: Buffer): BlobSource {
  return {
    digest: sha256(bytes),
    size: bytes.length,
    description: "memory",
    readRange: async function* ({ offset, length }: RangeRequest) {
      yield bytes.subarray(offset, offset + length);
    },
    distrust: () => undefined,
  };
}

export async function fineSample(tar: Buffer, blob: Buffer): Promise<FineSample> {
  const binding = loadBinding();
  const source = memoryBlob(blob);
  const { table, windows } = await buildFine({
    blob: source,
    diffId: sha256(tar),
    spanSizeBytes: SPAN_BYTES,
    leafSizeBytes: LEAF_BYTES,
    makeIndexer: (options) => new binding.StreamIndexer(options),
    compress: async (bytes, level) => await binding.compressFrame(bytes, level),
  });
  const layer = source.digest;
  const parsed = parseFineTable({ table, layer, blobSize: blob.length });
  const headers = await binding.decompressFrame(parsed.packedTree, parsed.treeSize);
  return { tar, blob, layer, table, windows, headers, parsed };
}

const tar = sampleTar();
export const gzipped = await fineSample(tar, gzipSync(tar, { level: 6, memLevel: 4 }));
export const plain = await fineSample(tar, tar);

/** Compiles a table with some of its bytes changed: in place, or for those that `change` returns. */
export async function compileChanged(
  change: (table: Buffer) => unknown,
  sample: FineSample = gzipped,
): Promise<CompiledFine> {
  const table = Buffer.from(sample.table);
  const changed = change(table);
  return await compileFine({
    table: Buffer.isBuffer(changed) ? changed : table,
    headers: sample.headers,
    layer: sample.layer,
    blobSize: sample.blob.length,
  });
}

const HEADER = 128;
const SPAN = 64;

/** Where the record of a span lies in a table. */
export function spanAt(index: number): number {
  return HEADER + index * SPAN;
}
