import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { parseDigest } from "../../src/bytes/index.js";
import type { LayerIndexSource } from "../../src/layer/index.js";
import { mediaTypes, parseManifest } from "../../src/oci/index.js";
import { embeddedSociIndexes, parseSociIndex } from "../../src/soci/index.js";
import { command } from "../../testing/rig/command.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";
import { type ConversionRequest, conversionRig } from "../../testing/transfer/converted.js";
import { fileFacts } from "./file-source.js";

export const matrixFormats = [
  "estargz",
  "stargz",
  "containers",
  "soci-gzip",
  "soci-tar",
  "gzip",
  "zstd",
  "tar",
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
};

/** A layer in one of the formats, or the reason why it can't be in it. */
export type MatrixLayer =
  | { readonly path: string; readonly mediaType: string; readonly index: LayerIndexSource }
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
  const twoMembers =
    'half=$(($(stat -c %s "$1") / 2)); (head -c $half "$1" | gzip -1; tail -c +$((half + 1)) "$1" | gzip -1) > "$2"';
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
    gzip: await whole(mediaTypes.dockerLayerGzip, twoMembers),
    zstd: await whole(mediaTypes.ociLayerZstd, 'zstd -q -1 -o "$2" "$1"'),
    tar: await whole(mediaTypes.ociLayer, 'cp --reflink=auto "$1" "$2"'),
  };
  return { of, [Symbol.asyncDispose]: async () => await rig[Symbol.asyncDispose]() };
}
