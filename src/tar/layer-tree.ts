import type { ByteString } from "../bytes/index.js";
import type { DirectoryNode, FileNode, FileTime, TreeNode } from "../tree/index.js";
import { applyFacts, boundTime } from "./apply-facts.js";
import type { SparsePart, TarEntry } from "./entry.js";
import {
  COMPONENT_BYTES_MAX,
  DEPTH_MAX,
  IMPLIED_DIRECTORIES_MAX,
  METADATA_BYTES_MAX,
  NODES_MAX,
  PATH_BYTES_MAX,
  SPARSE_PARTS_MAX,
  TARGET_BYTES_MAX,
} from "./limits.js";
import { refuseTar, refuseTarKind, refuseTarSize, shown } from "./refusal.js";
import { cleanPath, PathResolver } from "./resolve-path.js";

const MARKER = ".wh.";
const META_MARKER = ".wh..wh.";
const OPAQUE_MARKER = ".wh..wh..opq";
const IMPLIED_MODE = 0o755;
/** As Linux has device numbers. */
const MAJOR_MAX = 2 ** 12 - 1;
const MINOR_MAX = 2 ** 20 - 1;

/** What a sparse file is made of. */
export interface SparseContent {
  readonly dataOffset: number;
  readonly parts: readonly SparsePart[];
}

interface Place {
  readonly directory: DirectoryNode;
  readonly depth: number;
  /** Of its path. */
  readonly bytes: number;
}

/**
 * The directory into which containerd would unpack a layer, as values: each entry does what `applyNaive` of its
 * pkg/archive does with it for an overlay snapshot, in the same order, and is refused where containerd stops with an
 * error. Markers of whiteouts stay as they are, for toOverlayForm().
 */
export class LayerTree {
  readonly root: DirectoryNode = directory();
  /** Directories that no entry has described; an unpacking containerd copies those of the layers below. */
  readonly implied = new Set<DirectoryNode>();
  /** By the file; also of files that were replaced. */
  readonly sparse = new Map<FileNode, SparseContent>();
  nodes = 1;
  hardlinks = 0;
  /** Entries for the root, which containerd leaves as it is. */
  ignoredRoots = 0;
  /** Of AUFS itself, and of names that came back in the same layer. */
  droppedMarkers = 0;
  droppedXattrs = 0;
  readonly #resolver = new PathResolver(this.root);
  /** Directories by the path with which entries name them; empty after each change that may make one wrong. */
  readonly #places = new Map<string, Place>();
  readonly #times: { readonly path: string; readonly mtime: FileTime; readonly offset: number }[] = [];
  #metadataBytes = 0;
  #sparseParts = 0;

  add(entry: TarEntry): void {
    const offset = entry.headerOffset;
    this.#checkName(entry.name, offset);
    this.#countBytes(entry);
    const path = cleanPath(entry.name);
    const slash = path.lastIndexOf("/");
    const name = path.slice(slash + 1) as ByteString;
    if (name === "" || name === "..") {
      this.ignoredRoots += 1;
      return;
    }
    const place = this.#placeOf(path.slice(0, slash + 1), offset);
    checkComponent(name, offset);
    if (place.depth >= DEPTH_MAX || place.bytes + 1 + name.length > PATH_BYTES_MAX)
      throw tooLong(name, offset);
    if (name.startsWith(MARKER)) this.#putMarker(place.directory, name, entry);
    else this.#put({ parent: place.directory, name, path }, entry);
  }

  /** Sets the times of directories, which containerd does last. */
  finish(): void {
    for (const { path, mtime, offset } of this.#times) {
      const node = this.#lookUp(this.#resolver.resolve(path, offset));
      if (node === undefined) {
        throw refuseTar("tar-directory-gone", `the directory ${shown(path)} was taken away again`, offset);
      }
      node.mtime = mtime;
    }
  }

  #put(place: { parent: DirectoryNode; name: ByteString; path: string }, entry: TarEntry): void {
    const { parent, name, path } = place;
    const offset = entry.headerOffset;
    const before = parent.children.get(name);
    if (before !== undefined && !(before.kind === "directory" && entry.kind === "directory")) {
      parent.children.delete(name);
      if (before.kind === "directory" || before.kind === "symlink") this.#places.clear();
    }
    if (parent.children.delete(`${MARKER}${name}` as ByteString)) this.droppedMarkers += 1;
    // Go gives global headers out as entries, and containerd makes room for them like for any other.
    if (entry.kind === "global") return;
    const node = this.#nodeFor(entry, parent.children.get(name));
    if (!parent.children.has(name)) this.#countNode(offset);
    parent.children.set(name, node);
    this.droppedXattrs += applyFacts(node, entry);
    if (node.kind !== "directory") return;
    this.implied.delete(node);
    this.#times.push({ path, mtime: boundTime(entry.mtime), offset });
  }

  #nodeFor(entry: TarEntry, before: TreeNode | undefined): TreeNode {
    const common = { mode: 0, uid: 0, gid: 0, mtime: entry.mtime, xattrs: [] };
    // containerd unpacks no sparse files of the old format either.
    const kind = entry.typeFlag === "S" ? "other" : entry.kind;
    switch (kind) {
      case "directory":
        return before ?? directory();
      case "file":
        return this.#file(entry);
      case "symlink":
        checkTarget(entry);
        return { kind, ...common, target: entry.linkName };
      case "character":
      case "block":
        return { kind, ...common, ...deviceNumbers(entry) };
      case "fifo":
        return { kind, ...common };
      case "hardlink":
        return this.#linkTarget(entry);
      default:
        throw refuseTar("tar-entry-type", `the type ${shown(entry.typeFlag)} is unknown`, entry.headerOffset);
    }
  }

  #file(entry: TarEntry): FileNode {
    const { size, sparse } = entry;
    const isWhole = sparse === undefined || (sparse.length === 1 && sparse[0]!.length === size);
    const node: FileNode = {
      kind: "file",
      mode: 0,
      uid: 0,
      gid: 0,
      mtime: entry.mtime,
      xattrs: [],
      size: BigInt(size),
      dataOffset: size > 0 && isWhole ? BigInt(entry.dataOffset) : undefined,
    };
    if (size > 0 && !isWhole) {
      this.#sparseParts += sparse.length;
      if (this.#sparseParts > SPARSE_PARTS_MAX) {
        throw refuseTarSize(
          "tar-sparse-too-long",
          `want at most ${SPARSE_PARTS_MAX} regions of sparse files`,
          entry.headerOffset,
        );
      }
      this.sparse.set(node, { dataOffset: entry.dataOffset, parts: sparse });
    }
    return node;
  }

  /** Symbolic links lead to the target's folder, but a link at the target itself is linked to. */
  #linkTarget(entry: TarEntry): TreeNode {
    const { linkName, headerOffset: offset } = entry;
    this.#checkName(linkName, offset);
    const slash = linkName.lastIndexOf("/");
    const name = linkName.slice(slash + 1) as ByteString;
    if (name === "" || name === "." || name === "..") throw linkToDirectory(linkName, offset);
    const place = this.#lookUp(this.#resolver.resolve(linkName.slice(0, slash + 1), offset));
    const target = place?.kind === "directory" ? place.children.get(name) : undefined;
    if (target === undefined || name.startsWith(MARKER)) {
      throw refuseTar("tar-hardlink-missing", `no entry ${shown(linkName)} to link to`, offset);
    }
    if (target.kind === "directory") throw linkToDirectory(linkName, offset);
    this.hardlinks += 1;
    return target;
  }

  #putMarker(parent: DirectoryNode, name: ByteString, entry: TarEntry): void {
    const offset = entry.headerOffset;
    const hidden = name.slice(MARKER.length) as ByteString;
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw refuseTar("tar-whiteout", `${shown(name)} hides no name`, offset);
    }
    if (name.startsWith(META_MARKER) && name !== OPAQUE_MARKER) {
      this.droppedMarkers += 1;
      return;
    }
    const isOpaque = name === OPAQUE_MARKER;
    if (!isOpaque && (parent.children.has(hidden) || parent.children.has(name))) {
      throw refuseTar(
        "tar-whiteout-conflict",
        `${shown(hidden)} is hidden, but was put there before`,
        offset,
      );
    }
    if (parent.children.has(name)) return;
    this.#countNode(offset);
    parent.children.set(name, {
      kind: "fifo",
      mode: 0,
      uid: 0,
      gid: 0,
      mtime: boundTime(entry.mtime),
      xattrs: [],
    });
  }

  /** The directory at a path; makes all that is missing on the way to it. */
  #placeOf(path: string, offset: number): Place {
    const known = this.#places.get(path);
    if (known !== undefined) return known;
    const components = this.#resolver.resolve(path, offset);
    let node = this.root;
    let bytes = 0;
    for (const component of components) {
      checkComponent(component, offset);
      if (component.startsWith(MARKER)) {
        throw refuseTarKind("tar-whiteout-parent", `${shown(component)} has entries in it`, offset);
      }
      bytes += component.length + 1;
      let child = node.children.get(component);
      if (child === undefined) {
        child = directory();
        this.implied.add(child);
        this.#countNode(offset);
        node.children.set(component, child);
        if (node.children.delete(`${MARKER}${component}` as ByteString)) {
          // A whiteout is a device in the unpacked layer: containerd can't put anything below it.
          throw refuseTar("tar-parent", `${shown(component)} is a whiteout and has entries in it`, offset);
        }
      }
      if (child.kind !== "directory") {
        throw refuseTar("tar-parent", `${shown(component)} in ${shown(path)} is no directory`, offset);
      }
      node = child;
    }
    if (components.length >= DEPTH_MAX || bytes > PATH_BYTES_MAX) throw tooLong(path, offset);
    const place = { directory: node, depth: components.length, bytes };
    this.#places.set(path, place);
    return place;
  }

  #lookUp(components: readonly ByteString[]): TreeNode | undefined {
    let node: TreeNode | undefined = this.root;
    for (const component of components) {
      if (node?.kind !== "directory") return undefined;
      node = node.children.get(component);
    }
    return node;
  }

  #checkName(name: ByteString, offset: number): void {
    if (name.length > PATH_BYTES_MAX) throw tooLong(name, offset);
    if (name.includes("\0")) throw refuseTar("tar-name", `${shown(name)} has a NUL`, offset);
  }

  #countBytes(entry: TarEntry): void {
    this.#metadataBytes += entry.name.length + entry.linkName.length;
    for (const { name, value } of entry.xattrs) this.#metadataBytes += name.length + value.length;
    if (this.#metadataBytes > METADATA_BYTES_MAX) {
      throw refuseTarSize(
        "tar-too-much-metadata",
        `want at most ${METADATA_BYTES_MAX} bytes of names and attributes`,
        entry.headerOffset,
      );
    }
  }

  #countNode(offset: number): void {
    this.nodes += 1;
    if (this.nodes > NODES_MAX || this.implied.size > IMPLIED_DIRECTORIES_MAX) {
      throw refuseTarSize(
        "tar-too-many-entries",
        `want at most ${NODES_MAX} names and ${IMPLIED_DIRECTORIES_MAX} implied directories`,
        offset,
      );
    }
  }
}

function directory(): DirectoryNode {
  const mtime = { seconds: 0n, nanoseconds: 0 };
  return { kind: "directory", mode: IMPLIED_MODE, uid: 0, gid: 0, mtime, xattrs: [], children: new Map() };
}

function checkComponent(name: ByteString, offset: number): void {
  if (name.length > COMPONENT_BYTES_MAX) throw tooLong(name, offset);
}

function checkTarget({ linkName, headerOffset }: TarEntry): void {
  if (linkName === "" || linkName.length > TARGET_BYTES_MAX || linkName.includes("\0")) {
    throw refuseTar(
      "tar-symlink",
      `want a target of 1 to ${TARGET_BYTES_MAX} bytes, got ${shown(linkName)}`,
      headerOffset,
    );
  }
}

function deviceNumbers(entry: TarEntry): { major: number; minor: number } {
  const { devMajor: major, devMinor: minor } = entry;
  if (!(major >= 0 && major <= MAJOR_MAX && minor >= 0 && minor <= MINOR_MAX)) {
    throw refuseTar("tar-device", `Linux has no device ${major}:${minor}`, entry.headerOffset);
  }
  return { major, minor };
}

function linkToDirectory(linkName: ByteString, offset: number): Error {
  return refuseTar("tar-hardlink-target", `${shown(linkName)} is a directory`, offset);
}

function tooLong(name: string, offset: number): Error {
  return refuseTarSize(
    "tar-path-too-long",
    `want at most ${PATH_BYTES_MAX} bytes, ${DEPTH_MAX} components and ${COMPONENT_BYTES_MAX} bytes in each, got ${shown(name)}`,
    offset,
  );
}
