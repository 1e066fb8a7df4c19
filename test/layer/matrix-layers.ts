import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, parseDigest, sha256 } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { LayerIndexSource } from "../../src/layer/index.js";
import { mediaTypes, parseManifest } from "../../src/oci/index.js";
import { embeddedSociIndexes, parseSociIndex } from "../../src/soci/index.js";
import { buildFine } from "../../src/transfer/build-fine.js";
import { command } from "../../testing/rig/command.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";
import { type ConversionRequest, conversionRig } from "../../testing/transfer/converted.js";
import { FileSource, fileFacts } from "./file-source.js";

export const matrixFormats = [
  "estargz",
  "stargz",
  "containers",
  "soci-gzip",
  "soci-tar",
  "gzip",
  "zstd",
  "tar",
  "fine-gzip",
  "fine-zstd",
  "fine-tar",
] as const;
export type MatrixFormat = (typeof matrixFormats)[number];

/** What the engine calls a layer of the format. */
export const engineFormats: Readonly<Record<MatrixFormat, string>> = {
  estargz: "estargz",
  stargz: "zstdchunked",
  containers: "zstdchunked",
  "soci-gzip": "soci",
  "soci-tar": "soci",
  gzip: "gzip",
  zstd: "zstd",
  tar: "tar",
  "fine-gzip": "fine",
  "fine-zstd": "fine",
  "fine-tar": "fine",
};

/** A layer in one of the formats, or the reason why it can't be in it. */
export type MatrixLayer =
  | {
      readonly path: string;
      readonly mediaType: string;
      readonly index: LayerIndexSource;
      /** A blob that lies beside it. */
      readonly windowsPath?: string;
    }
  | { readonly kept: string };

export interface MatrixLayers extends AsyncDisposable {
  /** In the order of the archives. */
  readonly of: Readonly<Record<MatrixFormat, readonly MatrixLayer[]>>;
}

const TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest";
const SPAN_BYTES = 65_536;

/** The archives as layers of all formats: one image is converted to each. */
export async function makeLayers(tars: readonly string[]): Promise<MatrixLayers> {
  const rig = await conversionRig();
  const archive = join(rig.folder, "source.tar");
  const out = join(rig.folder, "out");
  await writeOciArchive({
    layers: tars,
    config: {},
    name: "lazuli.test/matrix:latest",
    archive,
    gzipLevel: 1,
  });
  const read = async (digest: string): Promise<Buffer> => await readFile(blobPath(digest));
  const blobPath = (digest: string): string => join(out, "blobs", "sha256", digest.slice("sha256:".length));
  const convert = async (name: string, from: string, layers: ConversionRequest["layers"]) => {
    const report = await rig.convert({ from, to: `oci:${out}:${name}`, layers });
    const { digest } = report;
    const { target, layers: reports } = report.manifests[0]!;
    const manifest = parseManifest(await read(target));
    const kept = reports.map(({ action, note }) => (action === "kept" ? (note ?? "kept") : undefined));
    return { digest, kept, layers: manifest.layers };
  };
  const source = `oci-archive:${archive}`;
  const packed = async (name: string, layers: ConversionRequest["layers"]): Promise<MatrixLayer[]> => {
    const made = await convert(name, source, layers);
    return made.layers.map(({ digest, mediaType, annotations }, at) => {
      const kept = made.kept[at];
      if (kept !== undefined) return { kept };
      const index: LayerIndexSource =
        name === "estargz"
          ? { kind: "estargz", tocDigest: parseDigest(annotations[TOC_DIGEST]) }
          : { kind: "zstdchunked", annotations };
      return { path: blobPath(digest), mediaType, index };
    });
  };
  const plain = await convert("plain", source, { format: "uncompressed" });
  const diffIds = plain.layers.map(({ digest }) => digest);
  const indexed = async (name: string, from: string): Promise<MatrixLayer[]> => {
    const layers = { format: "soci", spanSizeBytes: SPAN_BYTES, layerSizeMinBytes: 0 } as const;
    const made = await convert(name, from, layers);
    const [embedded] = embeddedSociIndexes(await read(made.digest));
    const { ztocs } = parseSociIndex(await read(embedded!.digest));
    return made.layers.map(({ digest, mediaType }, at) => {
      const kept = made.kept[at];
      if (kept !== undefined) return { kept };
      const ztoc = ztocs.get(digest)!;
      const load = async () => ({ ztoc: await read(ztoc.digest), digest: ztoc.digest });
      const index = { kind: "soci", load, diffId: diffIds[at]!, otherwise: undefined } as const;
      return { path: blobPath(digest), mediaType, index };
    });
  };
  const whole = async (mediaType: string, pack: string): Promise<MatrixLayer[]> => {
    const made: MatrixLayer[] = [];
    for (const [at, tar] of tars.entries()) {
      const path = join(rig.folder, "packed");
      await command("bash", ["-euc", pack, "pack", tar, path]);
      const { digest } = await fileFacts(path);
      await rename(path, blobPath(digest));
      made.push({ path: blobPath(digest), mediaType, index: { kind: "whole", diffId: diffIds[at]! } });
    }
    return made;
  };
  const fine = async (layers: readonly MatrixLayer[]): Promise<MatrixLayer[]> => {
    const made: MatrixLayer[] = [];
    for (const [at, layer] of layers.entries()) {
      if ("kept" in layer) throw new Error(`Layer ${at} is of no format that is indexed: ${layer.kept}`);
      made.push(await fineLayer(layer, { folder: join(out, "blobs", "sha256"), diffId: diffIds[at]! }));
    }
    return made;
  };
  const twoMembers =
    'half=$(($(stat -c %s "$1") / 2)); (head -c $half "$1" | gzip -1; tail -c +$((half + 1)) "$1" | gzip -1) > "$2"';
  const frames =
    'split -b 50000 --filter="zstd -q -1 -c" "$1" > "$2"; [ -s "$2" ] || zstd -q -1 -f -o "$2" "$1"';
  const gzip = await whole(mediaTypes.dockerLayerGzip, twoMembers);
  const tar = await whole(mediaTypes.ociLayer, 'cp --reflink=auto "$1" "$2"');
  const of = {
    estargz: await packed("estargz", {
      format: "estargz",
      chunkSizeBytes: 131_072,
      streamSizeMinBytes: 32_768,
    }),
    stargz: await packed("stargz", { format: "zstdchunked", chunkSizeBytes: 131_072 }),
    containers: await packed("containers", { format: "zstdchunked", dialect: "containers" }),
    "soci-gzip": await indexed("soci-gzip", source),
    "soci-tar": await indexed("soci-tar", `oci:${out}:plain`),
    gzip,
    zstd: await whole(mediaTypes.ociLayerZstd, 'zstd -q -1 -o "$2" "$1"'),
    tar,
    "fine-gzip": await fine(gzip),
    "fine-zstd": await fine(await whole(mediaTypes.ociLayerZstd, frames)),
    "fine-tar": await fine(tar),
  };
  return { of, [Symbol.asyncDispose]: async () => await rig[Symbol.asyncDispose]() };
}

/** Short spans and leaves, so that small layers have several; long ones where there would be too many. */
const FINE_SMALL = { spanSizeBytes: SPAN_BYTES, leafSizeBytes: 4096 };
const FINE_LARGE_FROM = 512 * 1024 * 1024;

/** A layer with an index of ours beside it. */
async function fineLayer(
  layer: { readonly path: string; readonly mediaType: string },
  { folder, diffId }: { readonly folder: string; readonly diffId: Digest },
): Promise<MatrixLayer> {
  const { path, mediaType } = layer;
  const binding = loadBinding();
  const blob = await FileSource.open(path);
  try {
    const { table, windows } = await buildFine({
      ...{ blob, diffId, ...(blob.size < FINE_LARGE_FROM / 100 ? FINE_SMALL : {}) },
      makeIndexer: (options) => new binding.StreamIndexer(options),
      compress: async (bytes, level) => await binding.compressFrame(bytes, level),
    });
    const windowsPath = join(folder, sha256(windows).slice("sha256:".length));
    await writeFile(windowsPath, windows);
    const load = async () => ({ table, digest: sha256(table) });
    const index = { kind: "fine", load, diffId, otherwise: undefined } as const;
    return { path, mediaType, index, ...(windows.length === 0 ? {} : { windowsPath }) };
  } catch (thrown) {
    return { kept: LazuliError.from(thrown).reason ?? String(thrown) };
  }
}
