import { assert } from "../errors/index.js";
import {
  type DirectoryNode,
  type FileNode,
  type OverlayFormReport,
  toOverlayForm,
  walkTree,
} from "../tree/index.js";
import type { TarEntry } from "./entry.js";
import { LayerTree, type SparseContent } from "./layer-tree.js";
import { BLOCK_BYTES, DATA_BYTES_MAX } from "./limits.js";
import { refuseTarSize } from "./refusal.js";

/** One piece of a sparse file: `length` bytes of the tar, from offset `from` on, belong at `to` of the data file. */
export interface CopyPart {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/**
 * A sparse file. The tar has its regions packed, so that it can't be shown from there: it has a place behind the end of
 * the tar, which reads as zeros but for its parts.
 */
export interface CopyRegion {
  /** In the data file, a multiple of 512 at or behind the end of the tar. */
  readonly dataOffset: number;
  readonly size: number;
  /** In order, disjoint, inside the region. None for a file of zeros only. */
  readonly parts: readonly CopyPart[];
}

export interface TarFacts {
  readonly entries: number;
  /** Inodes and further names of the tree, those that were replaced included. */
  readonly nodes: number;
  readonly hardlinks: number;
  /** Entries for the root itself: ignored, as an unpacking containerd does. */
  readonly ignoredRoots: number;
  /** Bytes of all files of the tree. */
  readonly bytes: number;
  /** Attributes that an unpacking containerd leaves out: `trusted.`, and `user.` of what is no file or directory. */
  readonly droppedXattrs: number;
  /** Markers of AUFS itself, and of names that came back in the same layer. */
  readonly droppedMarkers: number;
  readonly overlay: OverlayFormReport;
}

export interface CompiledTar {
  /** In overlay form. File contents lie at `dataOffset` in a data file that begins with the uncompressed tar. */
  readonly root: DirectoryNode;
  /** Of the tar and of all copies behind it, up to a multiple of 512. What neither has reads as zeros. */
  readonly dataSize: number;
  /** To be written into the data file before it is mounted; in the order of their `dataOffset`. */
  readonly needsCopy: readonly CopyRegion[];
  /**
   * Directories that no entry describes: mode 0755, owner 0. An unpacking containerd gives them what the directory has
   * in the layers below where there is one. Their times are its clock's; here they are 0.
   */
  readonly implied: ReadonlySet<DirectoryNode>;
  readonly facts: TarFacts;
}

/**
 * Makes a layer's tree of the entries of its tar as they come. The tree is the one that containerd's unpack makes on
 * overlayfs; an archive that it refuses, or whose meaning depends on its host, is refused.
 *
 * @throws INVALID_ARGUMENT with a TarReason, RESOURCE_EXHAUSTED with a TarLimit, UNIMPLEMENTED with a TarGap
 */
export class TarCompiler {
  readonly #tree = new LayerTree();
  #entries = 0;
  #isFinished = false;

  /** Entries in the order of the archive. After an error the compiler can't be used any more. */
  add(entry: TarEntry): void {
    assert(!this.#isFinished, "no entry is added after the end");
    this.#entries += 1;
    this.#tree.add(entry);
  }

  /** Once, behind the last entry. `tarSize` counts all bytes of the archive, those behind its end included. */
  finish(tarSize: number): CompiledTar {
    assert(!this.#isFinished, "an archive is finished once");
    this.#isFinished = true;
    const tree = this.#tree;
    tree.finish();
    const { needsCopy, dataSize, bytes } = placeSparse(tree.root, { sparse: tree.sparse, tarSize });
    const { nodes, hardlinks, ignoredRoots, droppedXattrs, droppedMarkers } = tree;
    const overlay = toOverlayForm(tree.root);
    return {
      root: tree.root,
      dataSize,
      needsCopy,
      implied: tree.implied,
      facts: {
        entries: this.#entries,
        nodes,
        hardlinks,
        ignoredRoots,
        bytes,
        droppedXattrs,
        droppedMarkers,
        overlay,
      },
    };
  }
}

export interface CompileTarOptions {
  readonly entries: Iterable<TarEntry> | AsyncIterable<TarEntry>;
  /** Bytes of the uncompressed tar. */
  readonly tarSize: number;
}

/** A TarCompiler from start to end. */
export async function compileTar(options: CompileTarOptions): Promise<CompiledTar> {
  const compiler = new TarCompiler();
  for await (const entry of options.entries) compiler.add(entry);
  return compiler.finish(options.tarSize);
}

/** Gives each sparse file that is still there a place behind the tar. */
function placeSparse(
  root: DirectoryNode,
  source: { readonly sparse: ReadonlyMap<FileNode, SparseContent>; readonly tarSize: number },
): { needsCopy: CopyRegion[]; dataSize: number; bytes: number } {
  const needsCopy: CopyRegion[] = [];
  const seen = new Set<FileNode>();
  let end = source.tarSize;
  let bytes = 0;
  for (const { node } of walkTree(root)) {
    if (node.kind !== "file" || seen.has(node)) continue;
    seen.add(node);
    bytes += Number(node.size);
    const content = source.sparse.get(node);
    if (content === undefined) continue;
    const region = copyRegion(content, { dataOffset: aligned(end), size: Number(node.size) });
    node.dataOffset = BigInt(region.dataOffset);
    needsCopy.push(region);
    end = region.dataOffset + region.size;
    if (end > DATA_BYTES_MAX) {
      throw refuseTarSize("tar-file-too-large", `want at most ${DATA_BYTES_MAX} bytes with all sparse files`);
    }
  }
  return { needsCopy, dataSize: aligned(end), bytes };
}

function copyRegion(content: SparseContent, place: { dataOffset: number; size: number }): CopyRegion {
  const parts: CopyPart[] = [];
  let from = content.dataOffset;
  for (const { offset, length } of content.parts) {
    if (length > 0) parts.push({ from, to: place.dataOffset + offset, length });
    from += length;
  }
  return { ...place, parts };
}

function aligned(offset: number): number {
  return Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
}
