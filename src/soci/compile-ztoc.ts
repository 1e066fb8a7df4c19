import { type Digest, sha256 } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import { type DirectoryNode, type OverlayFormReport, toOverlayForm } from "../tree/index.js";
import { type SpanRange, usableRanges } from "./prefetch.js";
import { readZtoc } from "./read-ztoc.js";
import { refuseZtoc } from "./refusal.js";
import { layOutSpans, type SpanLayout } from "./span-units.js";
import { TreeBuilder } from "./tree-builder.js";

export interface CompileZtocOptions {
  readonly ztoc: Buffer;
  /** What the index says the zTOC has. */
  readonly digest: Digest;
  /** Bytes of the layer. */
  readonly blobSize: number;
  /** What parsePrefetch() read for the layer. */
  readonly prefetch?: readonly SpanRange[] | undefined;
}

export interface LayerFacts {
  readonly entries: number;
  /** Inodes and further names of the tree, before whiteouts are converted. */
  readonly nodes: number;
  readonly hardlinks: number;
  /** Directories that no entry described when they were needed: they got mode 0755 and owner 0. */
  readonly impliedDirectories: number;
  /** Bytes of all files. */
  readonly bytes: number;
  readonly spanSize: number;
  readonly overlay: OverlayFormReport;
}

export interface CompiledZtoc extends Pick<SpanLayout, "units" | "windows" | "dataSize"> {
  /**
   * In overlay form: whiteouts are devices and attributes. The `dataOffset` of a file is its place in the tar, a multiple
   * of 512, as the data file is the tar.
   */
  readonly root: DirectoryNode;
  /** Units to read ahead, in this order. */
  readonly prefetch: readonly SpanRange[];
  readonly facts: LayerFacts;
}

/**
 * Turns a zTOC into the tree and the units of a layer. Refuses whatever could make the lazy view differ from that of an
 * unpacked layer. The values keep parts of `ztoc` alive.
 *
 * @throws DATA_LOSS `ztoc-digest-mismatch`, INVALID_ARGUMENT with a ZtocReason, RESOURCE_EXHAUSTED with a ZtocLimit
 */
export function compileZtoc(options: CompileZtocOptions): CompiledZtoc {
  const { digest, blobSize } = options;
  const actual = sha256(options.ztoc);
  if (actual !== digest) {
    throw dataLoss(`Cannot use zTOC: want ${digest}, got ${actual}`, { reason: "ztoc-digest-mismatch" });
  }
  const ztoc = readZtoc(options.ztoc);
  if (ztoc.compressedSize !== blobSize) {
    throw refuseZtoc("ztoc-other-layer", `it is of ${ztoc.compressedSize} bytes, the layer has ${blobSize}`);
  }
  const { units, windows, dataSize, spanSize } = layOutSpans(ztoc);
  const builder = new TreeBuilder(ztoc.uncompressedSize);
  let index = 0;
  for (const entry of ztoc.entries()) {
    builder.add(entry, index);
    index += 1;
  }
  const { root, nodes, hardlinks, impliedDirectories, fileBytes } = builder;
  return {
    root,
    units,
    windows,
    dataSize,
    prefetch: usableRanges(options.prefetch ?? [], units.length),
    facts: {
      entries: ztoc.entryCount,
      nodes,
      hardlinks,
      impliedDirectories,
      bytes: fileBytes,
      spanSize,
      overlay: toOverlayForm(root),
    },
  };
}
