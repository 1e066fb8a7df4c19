import { createHash } from "node:crypto";
import type { Digest } from "../../src/bytes/index.js";
import { buildEstargz, type LayerEntry } from "../estargz-builder.js";

export interface SampleFile {
  readonly name: string;
  readonly content: Buffer;
}

export interface SampleLayer {
  readonly blob: Buffer;
  readonly tocDigest: Digest;
  readonly files: readonly SampleFile[];
  /** Where the bytes of the prefetch range end; undefined without a landmark. */
  readonly landmark: number | undefined;
  /** The TOC, where it does not lie in the blob. */
  readonly tocBlob: Buffer | undefined;
}

/** Bytes of a file in one gzip member. */
const CHUNK_BYTES = 64 * 1024;

/**
 * A small eStargz layer: folders for all names, then the files in order.
 * @param options.prefetched So many files stand before `.prefetch.landmark`; 0: `.no.prefetch.landmark` comes first
 */
export function sampleLayer(
  files: readonly SampleFile[],
  options: { readonly prefetched?: number; readonly hasExternalToc?: boolean } = {},
): SampleLayer {
  const { prefetched = 0, hasExternalToc = false } = options;
  const folders = new Set(
    files.filter(({ name }) => name.includes("/")).map(({ name }) => name.split("/")[0]!),
  );
  const entries: LayerEntry[] = [
    ...[...folders].map((name): LayerEntry => ({ name: `${name}/`, type: "dir" })),
    ...files.map((file): LayerEntry => ({ ...file, type: "reg" })),
  ];
  const { blob, tocDigest, tocBlob, toc } = buildEstargz(entries, {
    chunkSize: CHUNK_BYTES,
    prioritized: prefetched === 0 ? 0 : folders.size + prefetched,
    footer: hasExternalToc ? "external" : "estargz",
  });
  const landmark = toc.entries.find((entry) => entry["name"] === ".prefetch.landmark")?.["offset"];
  return { blob, tocDigest, tocBlob, files, landmark: typeof landmark === "number" ? landmark : undefined };
}

/** Files of bytes that do not compress, the same for the same seed. */
export function sampleFiles(seed: string, sizes: readonly number[]): SampleFile[] {
  return sizes.map((size, index) => {
    const pieces: Buffer[] = [];
    for (let length = 0; length < size; length += 32) {
      pieces.push(createHash("sha256").update(`${seed}/${index}/${length}`).digest());
    }
    const name = `folder-${index % 3}/file-${String(index).padStart(3, "0")}`;
    return { name, content: Buffer.concat(pieces).subarray(0, size) };
  });
}
