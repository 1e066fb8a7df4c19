import type { ByteString } from "../bytes/index.js";
import type { DirectoryNode, FileNode, TreeNode } from "../tree/index.js";
import { ChunkList, type ChunkListOptions } from "./chunk-list.js";
import { lookUp, type PendingLink, resolveHardlinks } from "./hardlinks.js";
import { DATA_BYTES_MAX, ENTRIES_MAX, IMPLIED_DIRECTORIES_MAX } from "./limits.js";
import { refuseToc, refuseTocSize, shown } from "./refusal.js";
import { InodeReader, numberOf, symlinkTarget, type TocEntry, textOf } from "./toc-fields.js";
import { cleanPath } from "./toc-path.js";
import { TOC_NAME } from "./toc-tar.js";

const IMPLIED_MODE = 0o755;
/** Linux knows no other, whatever an entry says. */
const SYMLINK_MODE = 0o777;
/** As Linux has device numbers. */
const MAJOR_MAX = 2 ** 12 - 1;
const MINOR_MAX = 2 ** 20 - 1;

const PREFETCH_LANDMARK = ".prefetch.landmark";
const NO_PREFETCH_LANDMARK = ".no.prefetch.landmark";

/** A file with such a name says that another one is gone; what it contains is never read. */
const WHITEOUT_PREFIX = ".wh.";

/** What to read ahead before the container runs, as the writer of the layer says. */
export type Prefetch =
  | { readonly kind: "none" }
  /** The first `end` bytes of the blob. */
  | { readonly kind: "range"; readonly end: number }
  | { readonly kind: "unknown" };

/** Builds the tree of a layer from TOC entries in their order. */
export class TreeBuilder {
  readonly root: DirectoryNode = directory();
  readonly chunks: ChunkList;
  /** Files with content that no name leads to. */
  readonly dropped = new Set<FileNode>();
  prefetch: Prefetch = { kind: "unknown" };
  nodes = 1;
  hardlinks = 0;
  /** Directories that no entry has described. */
  readonly implied = new Set<DirectoryNode>();
  readonly #inodes = new InodeReader();
  readonly #pending = new Map<TreeNode, PendingLink>();
  readonly #replaced = new Set<string>();
  readonly #reserved = new Set<string>();
  /** Directories by their path, those only that some entry has as its parent. */
  readonly #parents = new Map<string, DirectoryNode>([["", this.root]]);

  constructor(options: ChunkListOptions) {
    this.chunks = new ChunkList(options);
  }

  add(entry: TocEntry): void {
    const type = textOf(entry, "type");
    if (type === "chunk") {
      this.chunks.addChunk(entry);
      return;
    }
    this.chunks.closeFile();
    if (typeof entry.fields.name !== "string") {
      throw refuseToc("toc-entry-malformed", "want a text for name", entry.index);
    }
    const path = cleanPath(entry.fields.name, entry.index);
    if (path === "") {
      if (type !== "dir") throw refuseToc("toc-root", `the root is of type ${shown(type)}`, entry.index);
      // An unpacking containerd passes it over: the root is the snapshotter's. It has to be right all the same.
      this.#inodes.read(entry);
      return;
    }
    if (path === PREFETCH_LANDMARK || path === NO_PREFETCH_LANDMARK || path === TOC_NAME) {
      this.#addReserved(entry, path, type);
      return;
    }
    const slash = path.lastIndexOf("/");
    const parent = this.#parentAt(slash < 0 ? "" : path.slice(0, slash), entry.index);
    const name = path.slice(slash + 1) as ByteString;
    if (type === "dir") this.#putDirectory({ parent, name, entry });
    else this.#putLeaf({ parent, name, entry, type, path });
  }

  /** Checks what only the end shows, and resolves the hard links. */
  finish(): void {
    this.chunks.closeFile();
    resolveHardlinks({ root: this.root, pending: this.#pending, replaced: this.#replaced });
  }

  #putDirectory(place: { parent: DirectoryNode; name: ByteString; entry: TocEntry }): void {
    const { parent, name, entry } = place;
    const before = parent.children.get(name);
    if (before !== undefined && before.kind !== "directory") throw kindConflict(name, entry);
    const fields = this.#inodes.read(entry);
    if (before === undefined) {
      this.#countNode(entry.index);
      parent.children.set(name, { kind: "directory", ...fields, children: new Map() });
    } else {
      Object.assign(before, fields);
      this.implied.delete(before);
    }
  }

  #putLeaf(place: {
    parent: DirectoryNode;
    name: ByteString;
    entry: TocEntry;
    type: string;
    path: ByteString;
  }): void {
    const { parent, name, entry, path } = place;
    const before = parent.children.get(name);
    if (before?.kind === "directory") throw kindConflict(name, entry);
    const node = this.#leaf(entry, place.type);
    if (before === undefined) this.#countNode(entry.index);
    else {
      this.#pending.delete(before);
      if (before.kind === "file") this.dropped.add(before);
      this.#replaced.add(path);
    }
    parent.children.set(name, node);
    if (node.kind === "file" && name.startsWith(WHITEOUT_PREFIX)) this.dropped.add(node);
    if (place.type !== "hardlink") return;
    const target = cleanPath(textOf(entry, "linkName"), entry.index);
    this.hardlinks += 1;
    const targetNow = lookUp(this.root, target);
    const describesTarget = targetNow !== undefined && targetNow !== node;
    this.#pending.set(node, { parent, name, target, index: entry.index, describesTarget });
  }

  #leaf(entry: TocEntry, type: string): TreeNode {
    const fields = this.#inodes.read(entry);
    switch (type) {
      case "reg":
        return this.#file(entry, fields);
      case "symlink":
        return { kind: "symlink", ...fields, mode: SYMLINK_MODE, target: symlinkTarget(entry) };
      case "char":
      case "block":
        return { kind: type === "char" ? "character" : "block", ...fields, ...deviceNumbers(entry) };
      case "fifo":
      case "hardlink":
        // A link's place is held by a node of its own until all targets are known.
        return { kind: "fifo", ...fields };
      default:
        throw refuseToc("toc-entry-type", `the type ${shown(type)} is unknown`, entry.index);
    }
  }

  #file(entry: TocEntry, fields: ReturnType<InodeReader["read"]>): FileNode {
    const size = BigInt(numberOf(entry, "size", DATA_BYTES_MAX));
    const node: FileNode = { kind: "file", ...fields, size, dataOffset: undefined };
    this.chunks.openFile(entry, node);
    return node;
  }

  /** Landmarks and the TOC itself are part of the format, not of the image. */
  #addReserved(entry: TocEntry, path: string, type: string): void {
    const isLandmark = path !== TOC_NAME;
    if (type !== "reg" || this.#reserved.has(path)) {
      throw refuseToc("toc-reserved-name", `${shown(path)} is no single file`, entry.index);
    }
    this.#reserved.add(path);
    const node = this.#file(entry, this.#inodes.read(entry));
    if (isLandmark && node.size !== 1n) {
      throw refuseToc(
        "toc-reserved-name",
        `${shown(path)} has ${node.size} bytes instead of one`,
        entry.index,
      );
    }
    this.dropped.add(node);
    if (path === NO_PREFETCH_LANDMARK) this.prefetch = { kind: "none" };
    else if (isLandmark && this.prefetch.kind === "unknown") {
      this.prefetch = { kind: "range", end: this.chunks.offsets.at(-1)! };
    }
  }

  #parentAt(path: string, index: number): DirectoryNode {
    const known = this.#parents.get(path);
    if (known !== undefined) return known;
    let node = this.root;
    for (const component of path.split("/") as ByteString[]) {
      let child = node.children.get(component);
      if (child === undefined) {
        this.#countNode(index);
        child = directory();
        this.implied.add(child);
        node.children.set(component, child);
      }
      if (child.kind !== "directory") {
        throw refuseToc("toc-parent", `${shown(component)} in ${shown(path)} is no directory`, index);
      }
      node = child;
    }
    this.#parents.set(path, node);
    return node;
  }

  #countNode(index: number): void {
    this.nodes += 1;
    if (this.nodes > ENTRIES_MAX || this.implied.size > IMPLIED_DIRECTORIES_MAX) {
      throw refuseTocSize(
        "toc-too-many-entries",
        `want at most ${ENTRIES_MAX} nodes and ${IMPLIED_DIRECTORIES_MAX} implied ones`,
        index,
      );
    }
  }
}

function directory(): DirectoryNode {
  const mtime = { seconds: 0n, nanoseconds: 0 };
  return { kind: "directory", mode: IMPLIED_MODE, uid: 0, gid: 0, mtime, xattrs: [], children: new Map() };
}

function deviceNumbers(entry: TocEntry): { major: number; minor: number } {
  const major = numberOf(entry, "devMajor", Number.MAX_SAFE_INTEGER);
  const minor = numberOf(entry, "devMinor", Number.MAX_SAFE_INTEGER);
  if (major > MAJOR_MAX || minor > MINOR_MAX) {
    throw refuseToc("toc-device", `Linux has no device ${major}:${minor}`, entry.index);
  }
  return { major, minor };
}

function kindConflict(name: string, entry: TocEntry): Error {
  return refuseToc("toc-kind-conflict", `${shown(name)} is a directory and something else`, entry.index);
}
