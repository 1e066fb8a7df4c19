import type { ByteString } from "../bytes/index.js";
import type { DirectoryNode, FileTime, TreeNode, Xattr } from "../tree/index.js";
import { cleanPath } from "./entry-path.js";
import { xattrsOf } from "./entry-xattrs.js";
import { ENTRIES_MAX, IMPLIED_DIRECTORIES_MAX, TAR_BLOCK } from "./limits.js";
import { refuseZtoc, refuseZtocSize, shown } from "./refusal.js";
import type { ZtocEntry } from "./ztoc.js";

const PERMISSIONS = 0o10000;
const IMPLIED_MODE = 0o755;
const SYMLINK_MODE = 0o777;
const SYMLINK_BYTES_MAX = 4095;
/** As Linux has device numbers. */
const MAJOR_MAX = 2 ** 12 - 1;
const MINOR_MAX = 2 ** 20 - 1;
/** An unpacking containerd sets later times to the epoch: its nanoseconds have 63 bits. */
const SECONDS_MAX = (2n ** 63n - 1n) / 1_000_000_000n;
const EPOCH: FileTime = { seconds: 0n, nanoseconds: 0 };
const CAPABILITY = "security.capability";
const WHITEOUT_PREFIX = ".wh.";

/** What an entry says of its inode. */
interface EntryFacts {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: FileTime;
  readonly xattrs: readonly Xattr[];
}

/** Builds the tree of a layer by doing what each entry, in the order of the tar, makes an unpacking containerd do. */
export class TreeBuilder {
  readonly root: DirectoryNode = impliedDirectory();
  nodes = 1;
  hardlinks = 0;
  impliedDirectories = 0;
  fileBytes = 0;
  readonly #dataSize: number;
  readonly #parents = new Map<string, DirectoryNode>([["", this.root]]);
  /** Where the last entry ends in the tar; the next one has its header behind it. */
  #end = 0;

  constructor(dataSize: number) {
    this.#dataSize = dataSize;
  }

  add(entry: ZtocEntry, index: number): void {
    this.#checkPlace(entry, index);
    const path = cleanPath(entry.name, index);
    if (path === "") {
      if (entry.type !== "dir") throw refuseZtoc("ztoc-root", `the root is of type ${entry.type}`, index);
      // An unpacking containerd passes it over: the root is the snapshotter's. It has to be right all the same.
      factsOf(entry, index);
      return;
    }
    const slash = path.lastIndexOf("/");
    const parent = this.#parentAt(slash < 0 ? "" : path.slice(0, slash), index);
    const name = path.slice(slash + 1) as ByteString;
    const before = parent.children.get(name);
    if (entry.type === "dir" && before?.kind === "directory") {
      describe(before, factsOf(entry, index));
      return;
    }
    if (before === undefined) this.#countNode(index);
    // What an entry replaces goes with all that is below it.
    else if (before.kind === "directory") this.#forgetParents();
    parent.children.delete(name);
    parent.children.set(
      name,
      entry.type === "hardlink" ? this.#target(entry, index) : this.#node(entry, index),
    );
  }

  /** Entries lie one behind another, each behind a header, and their bytes inside the data file. */
  #checkPlace({ type, dataOffset, size }: ZtocEntry, index: number): void {
    if (dataOffset % TAR_BLOCK !== 0) {
      throw refuseZtoc("ztoc-entry-unaligned", `want a multiple of ${TAR_BLOCK}, got ${dataOffset}`, index);
    }
    if (dataOffset < this.#end + TAR_BLOCK) {
      throw refuseZtoc("ztoc-entry-order", `it begins at ${dataOffset}, before the end of another`, index);
    }
    // Only files have bytes behind their header, whatever size the header of another type states.
    const end = dataOffset + (type === "reg" ? size : 0);
    if (end > this.#dataSize) {
      throw refuseZtoc("ztoc-entry-range", `it ends at ${end}, want at most ${this.#dataSize}`, index);
    }
    this.#end = Math.ceil(end / TAR_BLOCK) * TAR_BLOCK;
  }

  #node(entry: ZtocEntry, index: number): TreeNode {
    const facts = factsOf(entry, index);
    switch (entry.type) {
      case "dir":
        return { kind: "directory", ...facts, children: new Map() };
      case "reg":
        this.fileBytes += entry.size;
        return {
          kind: "file",
          ...facts,
          size: BigInt(entry.size),
          dataOffset: entry.size === 0 ? undefined : BigInt(entry.dataOffset),
        };
      case "symlink":
        return { kind: "symlink", ...facts, mode: SYMLINK_MODE, target: symlinkTarget(entry, index) };
      case "char":
      case "block":
        return {
          kind: entry.type === "char" ? "character" : "block",
          ...facts,
          ...deviceNumbers(entry, index),
        };
      default:
        return { kind: "fifo", ...facts };
    }
  }

  /** The inode that a hard link names, which then has what the link's own header says. */
  #target(entry: ZtocEntry, index: number): TreeNode {
    const path = cleanPath(entry.linkName, index);
    const node = this.#lookUp(path);
    if (node === undefined) {
      throw refuseZtoc("ztoc-hardlink-missing", `no entry ${shown(path)} before it to link to`, index);
    }
    if (node.kind === "directory") {
      throw refuseZtoc("ztoc-hardlink-target", `${shown(path)} is a directory`, index);
    }
    if (path.slice(path.lastIndexOf("/") + 1).startsWith(WHITEOUT_PREFIX)) {
      throw refuseZtoc("ztoc-hardlink-target", `${shown(path)} is a whiteout`, index);
    }
    this.hardlinks += 1;
    const facts = factsOf(entry, index);
    // The kernel takes the capabilities of a file away when its owner is set, as an unpacking containerd does.
    if (node.kind === "file") node.xattrs = node.xattrs.filter(({ name }) => name !== CAPABILITY);
    describe(node, node.kind === "symlink" ? { ...facts, mode: SYMLINK_MODE } : facts);
    return node;
  }

  #lookUp(path: ByteString): TreeNode | undefined {
    let node: TreeNode | undefined = this.root;
    if (path === "") return node;
    for (const component of path.split("/")) {
      if (node?.kind !== "directory") return undefined;
      node = node.children.get(component as ByteString);
    }
    return node;
  }

  #parentAt(path: string, index: number): DirectoryNode {
    const known = this.#parents.get(path);
    if (known !== undefined) return known;
    let node = this.root;
    for (const component of path.split("/") as ByteString[]) {
      let child = node.children.get(component);
      if (child === undefined) {
        this.impliedDirectories += 1;
        this.#countNode(index);
        child = impliedDirectory();
        node.children.set(component, child);
      }
      if (child.kind !== "directory") {
        throw refuseZtoc("ztoc-parent", `${shown(component)} in ${shown(path)} is no directory`, index);
      }
      node = child;
    }
    this.#parents.set(path, node);
    return node;
  }

  #forgetParents(): void {
    this.#parents.clear();
    this.#parents.set("", this.root);
  }

  #countNode(index: number): void {
    this.nodes += 1;
    if (this.nodes > ENTRIES_MAX || this.impliedDirectories > IMPLIED_DIRECTORIES_MAX) {
      throw refuseZtocSize(
        "ztoc-too-many-entries",
        `want at most ${ENTRIES_MAX} nodes and ${IMPLIED_DIRECTORIES_MAX} implied ones`,
        index,
      );
    }
  }
}

/** Gives an inode what an entry says; attributes it has stay unless the entry sets them. */
function describe(node: TreeNode, facts: EntryFacts): void {
  const set = new Set(facts.xattrs.map(({ name }) => name));
  const kept = node.xattrs.filter(({ name }) => !set.has(name));
  Object.assign(node, facts, { xattrs: [...kept, ...facts.xattrs] });
}

function factsOf(entry: ZtocEntry, index: number): EntryFacts {
  const { mode, uid, gid, mtime } = entry;
  return {
    mode: mode % PERMISSIONS,
    uid,
    gid,
    mtime: mtime.seconds > SECONDS_MAX ? EPOCH : mtime,
    xattrs: xattrsOf(entry, index),
  };
}

function impliedDirectory(): DirectoryNode {
  return {
    kind: "directory",
    mode: IMPLIED_MODE,
    uid: 0,
    gid: 0,
    mtime: EPOCH,
    xattrs: [],
    children: new Map(),
  };
}

function symlinkTarget({ linkName }: ZtocEntry, index: number): ByteString {
  if (linkName.length < 1 || linkName.length > SYMLINK_BYTES_MAX || linkName.includes("\0")) {
    throw refuseZtoc("ztoc-symlink", `want 1 to ${SYMLINK_BYTES_MAX} bytes for the target of a link`, index);
  }
  return linkName;
}

function deviceNumbers(entry: ZtocEntry, index: number): { major: number; minor: number } {
  const { deviceMajor: major, deviceMinor: minor } = entry;
  if (major <= MAJOR_MAX && minor <= MINOR_MAX) return { major, minor };
  throw refuseZtoc("ztoc-device", `Linux has no device ${major}:${minor}`, index);
}
