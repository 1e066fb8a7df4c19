import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type ByteString, bufferOfBytes, bytesOfBuffer } from "../../src/bytes/index.js";
import { type DirectoryNode, type TreeNode, walkTree } from "../../src/tree/index.js";

/** What a user sees of one name, as a text that can be compared. */
export type Listing = Map<ByteString, string>;

interface Seen {
  readonly kind: TreeNode["kind"];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly links: number;
  /** Size of a file, target of a link, number of a device. */
  readonly own: string;
  /** The first path of the inode. */
  readonly same: ByteString;
  readonly xattrs: string;
}

function line(seen: Seen): string {
  return `${seen.kind} ${seen.mode.toString(8)} ${seen.uid}:${seen.gid} ${seen.mtimeNs} links=${seen.links} ${seen.own} same=${seen.same} ${seen.xattrs}`;
}

function kindOf(stats: BigIntStats): TreeNode["kind"] {
  if (stats.isDirectory()) return "directory";
  if (stats.isFile()) return "file";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isCharacterDevice()) return "character";
  if (stats.isBlockDevice()) return "block";
  return stats.isFIFO() ? "fifo" : "socket";
}

export function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** All paths below a folder, the folder itself as ".", in no order. */
export function* foldersPaths(
  folder: string,
): Generator<{ path: ByteString; place: Buffer; stats: BigIntStats }> {
  const waiting: ByteString[] = ["." as ByteString];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const place = Buffer.concat([Buffer.from(`${folder}/`), bufferOfBytes(path)]);
    const stats = lstatSync(place, { bigint: true });
    yield { path, place, stats };
    if (!stats.isDirectory()) continue;
    for (const name of readdirSync(place, { encoding: "buffer" }))
      waiting.push(`${path}/${bytesOfBuffer(name)}` as ByteString);
  }
}

/** The listing of a real folder. */
export function listFolder(folder: string): Listing {
  const found = [...foldersPaths(folder)].sort((left, right) => (left.path < right.path ? -1 : 1));
  const xattrs = xattrsOfFolder(folder);
  const firsts = new Map<bigint, ByteString>();
  const listing: Listing = new Map();
  for (const { path, place, stats } of found) {
    const kind = kindOf(stats);
    if (!firsts.has(stats.ino)) firsts.set(stats.ino, path);
    listing.set(
      path,
      line({
        kind,
        mode: Number(stats.mode) & 0o7777,
        uid: Number(stats.uid),
        gid: Number(stats.gid),
        mtimeNs: stats.mtimeNs,
        links: Number(stats.nlink),
        own: ownOfPath(kind, place, stats),
        same: firsts.get(stats.ino)!,
        xattrs: xattrText(xattrs.get(path) ?? new Map()),
      }),
    );
  }
  return listing;
}

function ownOfPath(kind: TreeNode["kind"], place: Buffer, stats: BigIntStats): string {
  if (kind === "file") return `${stats.size} ${hash(readFileSync(place))}`;
  if (kind === "symlink")
    return `${stats.size} ${readlinkSync(place, { encoding: "buffer" }).toString("hex")}`;
  return kind === "character" || kind === "block" ? String(stats.rdev) : "-";
}

/** The listing that the mount of a tree must have. */
export function listTree(root: DirectoryNode, data: Buffer): Listing {
  const paths = new Map<TreeNode, ByteString>([[root, "." as ByteString]]);
  const all: { path: ByteString; node: TreeNode }[] = [];
  for (const { name, node, parent } of walkTree(root)) {
    const path = parent === undefined ? ("." as ByteString) : (`${paths.get(parent)}/${name}` as ByteString);
    if (node.kind === "directory") paths.set(node, path);
    all.push({ path, node });
  }
  all.sort((left, right) => (left.path < right.path ? -1 : 1));
  const names = new Map<TreeNode, ByteString[]>();
  for (const { path, node } of all) names.set(node, [...(names.get(node) ?? []), path]);
  return new Map(all.map(({ path, node }) => [path, treeLine(node, names.get(node)!, data)]));
}

function treeLine(node: TreeNode, names: readonly ByteString[], data: Buffer): string {
  const xattrs = new Map(node.xattrs.map(({ name, value }) => [name, value.toString("hex")]));
  return line({
    kind: node.kind,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    mtimeNs: node.mtime.seconds * 1_000_000_000n + BigInt(node.mtime.nanoseconds),
    links: node.kind === "directory" ? 2 + subdirectories(node) : names.length,
    own: ownOfNode(node, data),
    same: names[0]!,
    xattrs: xattrText(xattrs),
  });
}

function subdirectories(node: DirectoryNode): number {
  return [...node.children.values()].filter((child) => child.kind === "directory").length;
}

function ownOfNode(node: TreeNode, data: Buffer): string {
  switch (node.kind) {
    case "file": {
      const start = Number(node.dataOffset ?? 0n);
      return `${node.size} ${hash(data.subarray(start, start + Number(node.size)))}`;
    }
    case "symlink":
      return `${node.target.length} ${bufferOfBytes(node.target).toString("hex")}`;
    case "character":
    case "block":
      return String((node.minor & 0xff) + node.major * 0x100 + Math.floor(node.minor / 0x100) * 0x100000);
    default:
      return "-";
  }
}

function xattrText(xattrs: ReadonlyMap<ByteString, string>): string {
  return [...xattrs]
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");
}

/** By path and name: values in hex, as getfattr(1) sees them. */
export function xattrsOfFolder(folder: string): Map<ByteString, Map<ByteString, string>> {
  const text = execFileSync("getfattr", ["-RPhd", "-m", "-", "-e", "hex", "."], {
    cwd: folder,
    encoding: "latin1",
    maxBuffer: 256 * 1024 * 1024,
  });
  const all = new Map<ByteString, Map<ByteString, string>>();
  let current = new Map<ByteString, string>();
  for (const row of text.split("\n")) {
    if (row.startsWith("# file: ")) {
      const path = unquote(row.slice("# file: ".length));
      current = new Map();
      all.set(path === "." ? path : (`./${path.replace(/^\.\//, "")}` as ByteString), current);
    } else if (row !== "") {
      const [name, value = ""] = row.split("=0x");
      current.set(unquote(name!.replace(/=$/, "")), value);
    }
  }
  return all;
}

/** getfattr(1) writes some bytes as a backslash and three octal digits. */
function unquote(text: string): ByteString {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  ) as ByteString;
}
