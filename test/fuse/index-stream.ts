import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Deflate, GZheader, type ZStream, zlibDeflateSetHeader } from "pako";
import type { IndexedStream } from "../../src/fuse/index.js";
import { encodeUnitTable, readSpans, type UnitTable, unitsOfSpans } from "../../src/units/index.js";
import { binding } from "./rig.js";

export interface IndexOptions {
  readonly codec?: "gzip" | "zstd" | "raw";
  readonly spanSizeBytes?: number;
  readonly dataSizeMax?: number;
  readonly pieceBytes?: number;
  readonly keepWindows?: boolean;
}

/** What the indexer makes of a blob, and what it wrote. Rejects as it does. */
export async function indexStream(
  blob: Uint8Array,
  options: IndexOptions = {},
): Promise<IndexedStream & { data: Buffer }> {
  const folder = mkdtempSync(join(tmpdir(), "lazuli-indexer-"));
  const path = join(folder, "data");
  const dataFd = openSync(path, "w+");
  const indexer = new binding.StreamIndexer({
    codec: options.codec ?? "gzip",
    dataFd,
    spanSizeBytes: options.spanSizeBytes ?? 50_000,
    keepWindows: options.keepWindows ?? true,
    dataSizeMax: options.dataSizeMax ?? 16_000_000,
  });
  closeSync(dataFd);
  try {
    const step = options.pieceBytes ?? 65_536;
    for (let at = 0; at < blob.length; at += step) await indexer.push(blob.subarray(at, at + step));
    return { ...(await indexer.end()), data: readFileSync(path) };
  } finally {
    await indexer.close();
    rmSync(folder, { recursive: true });
  }
}

/** A member with all that a header may have. */
class NamedMember extends Deflate {
  override onStart(stream: ZStream): void {
    const header = new GZheader();
    const fields = { text: 1, time: 5, extra: [1, 2, 3], name: "a name", comment: "a comment", hcrc: true };
    zlibDeflateSetHeader(stream, Object.assign(header, fields));
  }
}

/** Members of unlike lengths, with all that a header may have, and an empty one. */
export function gzipMembers(content: Buffer): Buffer {
  const third = Math.floor(content.length / 3);
  const packer = new NamedMember({ gzip: true });
  packer.push(content.subarray(third, 2 * third), true);
  return Buffer.concat([
    gzipSync(content.subarray(0, third), { level: 1 }),
    packer.result,
    gzipSync(Buffer.alloc(0)),
    gzipSync(content.subarray(2 * third)),
  ]);
}

export interface SpanLayer {
  readonly data: Buffer;
  readonly blob: Buffer;
  readonly table: UnitTable;
  readonly windows: Buffer;
}

/** A gzip blob as a layer of spans, by our own index of it. */
export async function makeSpanLayer(
  blob: Buffer,
  options: { readonly digestOf: "data" | "blob"; readonly spanSizeBytes?: number },
): Promise<SpanLayer> {
  const { data, spans, windows: all, dataSize } = await indexStream(blob, options);
  const indexed = readSpans(spans);
  const { units, windows } = unitsOfSpans({ codec: "gzip", spans: indexed, windows: all });
  const kept = units.map((unit, index) =>
    options.digestOf === "data"
      ? unit
      : { ...unit, sha256: indexed[index]!.blobSha256, digestOf: "blob" as const },
  );
  const table = encodeUnitTable(kept, { dataSize, blobSize: blob.length, blockSize: 512, windows });
  return { data, blob, table, windows };
}
