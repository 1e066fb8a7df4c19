import { gzipSync } from "node:zlib";
import { sha256 } from "../../src/bytes/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { LayerIndexSource, LayerRequest } from "../../src/layer/index.js";
import type { BlobSource } from "../../src/registry/index.js";
import { buildFine } from "../../src/transfer/build-fine.js";
import { type SampleFile, sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";
import { buildZstdChunked, type LayerEntry } from "../../testing/zstdchunked-builder.js";
import { memoryBlob } from "../hostile/fine-case.js";
import { buildSoci, buildTar } from "../soci/builder.js";

/** A layer of many small units, whose blob and index can be damaged. */
export interface CorruptLayer {
  readonly format: string;
  readonly blob: Buffer;
  readonly files: readonly SampleFile[];
  /** The index that lies beside the blob; undefined: it lies in the blob, behind `payloadEnd`. */
  readonly index: Buffer | undefined;
  /** Windows of spans, which lie beside the blob as well. */
  readonly windows: Buffer | undefined;
  readonly payloadEnd: number;
  /** With `index` in place of the right one, whose digest it claims to have. */
  request(source: BlobSource, index: Buffer | undefined): LayerRequest;
}

const FILES = 48;
const FILE_BYTES = 5000;
const SPAN_BYTES = 16_384;
const LEAF_BYTES = 4096;

function filesOf(seed: string): readonly SampleFile[] {
  return sampleFiles(
    seed,
    Array.from({ length: FILES }, (_, index) => FILE_BYTES + index * 7),
  );
}

function entriesOf(files: readonly SampleFile[]): LayerEntry[] {
  const folders = new Set(files.map(({ name }) => name.split("/")[0]!));
  return [
    ...[...folders].map((name): LayerEntry => ({ name: `${name}/`, type: "dir" })),
    ...files.map((file): LayerEntry => ({ ...file, type: "reg" })),
  ];
}

function requestOf(source: BlobSource, index: LayerIndexSource): LayerRequest {
  return {
    digest: source.digest,
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    index,
    openSource: async () => source,
    origin: { reference: "memory.example/corrupt:1", size: source.size },
  };
}

function estargz(seed: string): CorruptLayer {
  const { blob, tocDigest, files } = sampleLayer(filesOf(seed));
  // The footer has 51 bytes, and names where the TOC begins by 16 digits from its 16th byte on.
  const payloadEnd = Number.parseInt(blob.toString("latin1", blob.length - 35, blob.length - 19), 16);
  return {
    format: "estargz",
    blob,
    files,
    index: undefined,
    windows: undefined,
    payloadEnd,
    request: (source) => requestOf(source, { kind: "estargz", tocDigest }),
  };
}

async function zstdChunked(seed: string): Promise<CorruptLayer> {
  const files = filesOf(seed);
  const { blob, payload, annotations } = await buildZstdChunked(entriesOf(files), { dialect: "containers" });
  return {
    format: "zstdchunked",
    blob,
    files,
    index: undefined,
    windows: undefined,
    payloadEnd: payload.length,
    request: (source) => requestOf(source, { kind: "zstdchunked", annotations }),
  };
}

function soci(seed: string): CorruptLayer {
  const files = filesOf(seed);
  const { blob, tar, ztoc } = buildSoci(entriesOf(files), { spanSize: SPAN_BYTES, memberSize: 60_000 });
  return {
    format: "soci",
    blob,
    files,
    index: ztoc,
    windows: undefined,
    payloadEnd: blob.length,
    request: (source, index) => {
      const load = async () => ({ ztoc: index ?? ztoc, digest: sha256(ztoc) });
      return requestOf(source, { kind: "soci", load, diffId: sha256(tar), otherwise: undefined });
    },
  };
}

async function fine(seed: string): Promise<CorruptLayer> {
  const files = filesOf(seed);
  const { tar } = buildTar(entriesOf(files));
  const blob = gzipSync(tar, { level: 6, memLevel: 1 });
  const binding = loadBinding();
  const { table, windows } = await buildFine({
    blob: memoryBlob(blob),
    diffId: sha256(tar),
    spanSizeBytes: SPAN_BYTES,
    leafSizeBytes: LEAF_BYTES,
    makeIndexer: (options) => new binding.StreamIndexer(options),
    compress: async (bytes, level) => await binding.compressFrame(bytes, level),
  });
  return {
    format: "fine",
    blob,
    files,
    index: table,
    windows,
    payloadEnd: blob.length,
    request: (source, index) => {
      const load = async () => ({ table: index ?? table, digest: sha256(table) });
      return requestOf(source, { kind: "fine", load, diffId: sha256(tar), otherwise: undefined });
    },
  };
}

/** By format. The same seed makes the same layer. */
export const corruptLayers: readonly ((seed: string) => CorruptLayer | Promise<CorruptLayer>)[] = [
  estargz,
  zstdChunked,
  soci,
  fine,
];
