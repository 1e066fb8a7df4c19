import { type ByteString, bytesOfText } from "../../src/bytes/index.js";
import type { DirectoryNode, FileNode, TreeNode, Xattr } from "../../src/tree/index.js";

type Facts = Pick<TreeNode, "mode" | "uid" | "gid" | "mtime" | "xattrs">;

export function facts(changes: Partial<Facts> = {}): Facts {
  return {
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { seconds: 1_600_000_000n, nanoseconds: 1 },
    xattrs: [],
    ...changes,
  };
}

export function xattr(name: string, value: Buffer | string): Xattr {
  return { name: bytesOfText(name), value: Buffer.from(value) };
}

export function directory(
  children: Iterable<readonly [ByteString, TreeNode]> | Readonly<Record<string, TreeNode>>,
  changes: Partial<Facts> = {},
): DirectoryNode {
  const isIterable = Symbol.iterator in children;
  const entries = isIterable
    ? children
    : Object.entries(children).map(([name, node]) => [bytesOfText(name), node] as const);
  return { kind: "directory", ...facts({ mode: 0o755, ...changes }), children: new Map(entries) };
}

export function file(
  size: number | bigint,
  dataOffset?: number | bigint,
  changes: Partial<Facts> = {},
): FileNode {
  return {
    kind: "file",
    ...facts(changes),
    size: BigInt(size),
    dataOffset: dataOffset === undefined ? undefined : BigInt(dataOffset),
  };
}

export function symlink(target: string, changes: Partial<Facts> = {}): TreeNode {
  return { kind: "symlink", ...facts({ mode: 0o777, ...changes }), target: bytesOfText(target) };
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export interface RandomTree {
  readonly root: DirectoryNode;
  readonly data: Buffer;
}

const SECONDS = [0n, 1n, -1n, -(2n ** 40n), 2n ** 31n, 2n ** 32n + 5n, 2n ** 40n, 1_700_000_000n];
const IDS = [0, 1, 65_535, 65_536, 2 ** 31, 2 ** 32 - 2];
const CAPABILITY = Buffer.from("0100000200040000000000000000000000000000", "hex");
/** u::rw-, u:1000:r--, g::r--, m::r--, o::r-- as Linux has it. */
const ACL = Buffer.from(
  "02000000" +
    "01000600ffffffff" +
    "02000400e8030000" +
    "04000400ffffffff" +
    "10000400ffffffff" +
    "20000400ffffffff",
  "hex",
);

/** A tree with everything that an inode can be, in random sizes. */
export function randomTree(seed: number, options: { count: number; blockSize: number }): RandomTree {
  const random = makeRandom(seed);
  const maker = new TreeMaker(random, options.blockSize);
  const directories = [maker.root];
  const others: TreeNode[] = [];
  for (let made = 0; made < options.count; made += 1) {
    const parent = directories[random(directories.length)]!;
    const name = maker.name();
    if (parent.children.has(name)) continue;
    if (others.length > 0 && random(8) === 0) {
      parent.children.set(name, others[random(others.length)]!);
      continue;
    }
    const node = maker.node();
    parent.children.set(name, node);
    if (node.kind === "directory") directories.push(node);
    else others.push(node);
  }
  return { root: maker.root, data: Buffer.concat(maker.pieces) };
}

class TreeMaker {
  readonly pieces: Buffer[] = [];
  readonly root: DirectoryNode;
  #dataSize = 0;

  constructor(
    readonly random: (below: number) => number,
    readonly blockSize: number,
  ) {
    this.root = { kind: "directory", ...this.#facts(true), children: new Map() };
  }

  /** 1 to 255 bytes of any value that a name can have; often next to another in order. */
  name(): ByteString {
    const length = this.random(6) === 0 ? 1 + this.random(255) : 1 + this.random(12);
    const alphabet = this.random(3) === 0 ? 256 : 3;
    let name = "";
    while (name.length < length) {
      const code = alphabet === 3 ? 0x2d + this.random(3) * 25 : this.random(256);
      if (code !== 0 && code !== 0x2f) name += String.fromCharCode(code);
    }
    return (name === "." || name === ".." ? "..." : name) as ByteString;
  }

  node(): TreeNode {
    const kind = this.random(12);
    if (kind < 3) return { kind: "directory", ...this.#facts(true), children: new Map() };
    if (kind < 7) return this.#file();
    if (kind < 9) return this.#symlink();
    if (kind === 9) return { kind: "fifo", ...this.#facts(false) };
    if (kind === 10) return { kind: "socket", ...this.#facts(false) };
    const isWhiteout = this.random(2) === 0;
    return {
      kind: this.random(2) === 0 || isWhiteout ? "character" : "block",
      ...this.#facts(false),
      major: isWhiteout ? 0 : this.random(4096),
      minor: isWhiteout ? 0 : this.random(2 ** 20),
    };
  }

  #file(): TreeNode {
    const size = [0, 1, this.blockSize, this.blockSize + 1, this.random(20_000)][this.random(5)]!;
    const dataOffset = this.#dataSize;
    const padded = Math.ceil(size / this.blockSize) * this.blockSize;
    const piece = Buffer.alloc(padded);
    for (let index = 0; index < size; index += 1) piece[index] = this.random(256);
    this.pieces.push(piece);
    this.#dataSize += padded;
    return {
      kind: "file",
      ...this.#facts(true),
      size: BigInt(size),
      dataOffset: size === 0 ? undefined : BigInt(dataOffset),
    };
  }

  #symlink(): TreeNode {
    const length = [1, 447, 448, 449, 511, 512, 513, 4031, 4032, 4033, 4095, 1 + this.random(100)][
      this.random(12)
    ]!;
    const target = Array.from({ length }, () => String.fromCharCode(1 + this.random(255))).join("");
    return { kind: "symlink", ...this.#facts(false), target: target as ByteString };
  }

  #facts(canHaveUserXattrs: boolean): Facts {
    return facts({
      mode: this.random(0o10000),
      uid: IDS[this.random(IDS.length)]!,
      gid: IDS[this.random(IDS.length)]!,
      mtime: { seconds: SECONDS[this.random(SECONDS.length)]!, nanoseconds: this.random(1_000_000_000) },
      xattrs: this.random(3) === 0 ? this.#xattrs(canHaveUserXattrs) : [],
    });
  }

  #xattrs(canHaveUserXattrs: boolean): Xattr[] {
    const value = (size: number): Buffer => Buffer.alloc(size, this.random(256));
    const all = [
      xattr("trusted.lazuli", value(this.random(9))),
      xattr("security.lazuli", value(this.random(600))),
      xattr("trusted.overlay.opaque", "y"),
      xattr(`trusted.${"n".repeat(247)}`, value(3)),
      ...(this.random(20) === 0 ? [xattr("trusted.large", value(65_535))] : []),
      ...(canHaveUserXattrs
        ? [
            xattr("user.lazuli", value(this.random(50))),
            xattr("security.capability", CAPABILITY),
            xattr("system.posix_acl_access", ACL),
          ]
        : []),
    ];
    return all.filter(() => this.random(2) === 0);
  }
}
