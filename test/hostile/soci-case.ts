import { sha256 } from "../../src/bytes/index.js";
import {
  type CompiledZtoc,
  compileZtoc,
  encodeGzipZinfo,
  encodeZtoc,
  type ZtocEntry,
} from "../../src/soci/index.js";
import { type BuiltSoci, buildSoci } from "../soci/builder.js";
import { prose } from "../soci/sample-layer.js";

/** A layer of five spans that every case changes in one thing. */
export const layer: BuiltSoci = buildSoci(
  [
    { name: "dir/", type: "dir" },
    { name: "dir/file", type: "reg", content: prose(200_000, 7) },
    { name: "second", type: "reg", content: prose(150_000, 8) },
    { name: "link", type: "hardlink", linkName: "second" },
    { name: "note", type: "reg", content: "n", xattrs: { "user.note": "v" } },
  ],
  { spanSize: 65_536 },
);

/** The same as a tar that is not packed. */
export const plainLayer: BuiltSoci = buildSoci([{ name: "file", type: "reg", content: prose(200_000, 7) }], {
  algorithm: "uncompressed",
});

export type Facts = Parameters<typeof encodeZtoc>[0];

export function factsOf(built: BuiltSoci): Facts {
  return {
    ...built,
    compressedSize: built.blob.length,
    uncompressedSize: built.tar.length,
    buildTool: "hostile",
  };
}

export function compile(ztoc: Buffer, blobSize: number = layer.blob.length): CompiledZtoc {
  return compileZtoc({ ztoc, digest: sha256(ztoc), blobSize });
}

/** Compiles the zTOC of the layer with some facts changed. */
export function compileWith(changes: Partial<Facts>, built: BuiltSoci = layer): CompiledZtoc {
  return compile(encodeZtoc({ ...factsOf(built), ...changes }), built.blob.length);
}

/** With one entry changed. */
export function compileEntry(index: number, changes: Partial<ZtocEntry>): CompiledZtoc {
  return compileWith({
    entries: layer.entries.map((entry, place) => (place === index ? { ...entry, ...changes } : entry)),
  });
}

const HEADER = 12;
const STRIDE = 32_785;

/** The zinfo of the layer with some of its bytes changed: in place, or for those that `change` returns. */
export function zinfoWith(change: (zinfo: Buffer) => unknown): Buffer {
  const zinfo = Buffer.from(layer.zinfo);
  const changed = change(zinfo);
  return Buffer.isBuffer(changed) ? changed : zinfo;
}

/** Where a checkpoint's offset in the blob lies in a zinfo; its offset in the tar is 8 behind, its bits 16. */
export function checkpointAt(index: number): number {
  return HEADER + index * STRIDE;
}

/** A zinfo whose checkpoints say other offsets. */
export function zinfoOf(
  offsets: readonly (readonly [blobOffset: number, dataOffset: number, bits?: number])[],
): Buffer {
  return encodeGzipZinfo({
    version: 2,
    spanSize: 65_536,
    checkpoints: offsets.map(([blobOffset, dataOffset, bits = 0]) => ({
      blobOffset,
      dataOffset,
      bits,
      window: Buffer.alloc(32_768),
    })),
  });
}

/** The place of a field in a table of the valid zTOC, found as a reader finds it. */
export class Places {
  readonly bytes = Buffer.from(encodeZtoc(factsOf(layer)));
  readonly root = this.follow(0);
  readonly toc = this.follow(this.field(this.root, 4));
  readonly compressionInfo = this.follow(this.field(this.root, 5));
  readonly metadata = this.follow(this.field(this.toc, 0));
  readonly entry = this.follow(this.metadata + 4);

  follow(at: number): number {
    return at + this.bytes.readUInt32LE(at);
  }

  vtable(table: number): number {
    return table - this.bytes.readInt32LE(table);
  }

  field(table: number, field: number): number {
    return table + this.bytes.readUInt16LE(this.vtable(table) + 4 + field * 2);
  }
}

/** Compiles the zTOC of the layer with some of its raw bytes changed: in place, or for those that `change` returns. */
export function compileRaw(change: (places: Places) => unknown): CompiledZtoc {
  const places = new Places();
  const changed = change(places);
  return compile(Buffer.isBuffer(changed) ? changed : places.bytes);
}
