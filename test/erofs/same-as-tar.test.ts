import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { type ByteString, bytesOfBuffer } from "../../src/bytes/index.js";
import type { DirectoryNode, TreeNode } from "../../src/tree/index.js";
import { foldersPaths, listFolder, xattrsOfFolder } from "./listing.js";
import { blockSizes, mountImage, temporaryFolder } from "./mounted-image.js";
import { facts, type RandomTree } from "./trees.js";

/** Everything that an archive can carry. */
const MAKE_FOLDER = `
  mkdir -p etc/deep/deeper usr/bin opaque sticky
  seq 1 20000 > usr/bin/numbers; ln usr/bin/numbers usr/bin/again; ln usr/bin/numbers etc/third
  head -c 3 /dev/urandom > etc/three; : > etc/empty; ln -s ../usr/bin/numbers etc/link; ln -s /nowhere etc/deep/broken
  chmod 4755 usr/bin/again; chmod 1777 sticky; chmod 0 etc/three; chown 70000:3000000000 etc/three; chown -h 5:6 etc/link
  mknod etc/null c 1 3; mknod etc/disk b 259 300000; mkfifo etc/pipe; mknod whiteout c 0 0
  touch -d '1931-02-03 04:05:06.123456789 UTC' etc/empty; touch -d '2400-01-01 00:00:00.000000001 UTC' etc/deep
  touch -hd '2001-02-03 04:05:06.5 UTC' etc/link
  setfattr -n user.note -v hello etc/three; setfattr -n trusted.overlay.opaque -v y opaque
  setfattr -n security.lazuli -v 0x000102ff etc/null; setfattr -hn trusted.of-link -v 1 etc/link
  setcap cap_net_raw+ep usr/bin/numbers; setfacl -m u:1000:rwx usr; setfacl -d -m g:12:rx usr/bin
  printf bytes > "$(printf 'name\\377with\\nodd bytes')"; : > "$(printf '%0255d' 7)"
`;

/** The tree of a folder as values, and a data file with its contents. */
function readFolder(folder: string, blockSize: number): RandomTree {
  const xattrs = xattrsOfFolder(folder);
  const inodes = new Map<bigint, TreeNode>();
  const byPath = new Map<ByteString, TreeNode>();
  const pieces: Buffer[] = [];
  let dataSize = 0;
  for (const { path, place, stats } of foldersPaths(folder)) {
    const common = facts({
      mode: Number(stats.mode) & 0o7777,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      mtime: splitTime(stats.mtimeNs),
      xattrs: [...(xattrs.get(path) ?? [])].map(([name, hex]) => ({ name, value: Buffer.from(hex, "hex") })),
    });
    let node = inodes.get(stats.ino);
    if (node === undefined && stats.isFile()) {
      const content = readFileSync(place);
      node = {
        kind: "file",
        ...common,
        size: stats.size,
        dataOffset: stats.size > 0n ? BigInt(dataSize) : undefined,
      };
      const padded = Math.ceil(content.length / blockSize) * blockSize;
      pieces.push(Buffer.concat([content], padded));
      dataSize += padded;
    } else if (node === undefined && stats.isDirectory()) {
      node = { kind: "directory", ...common, children: new Map() };
    } else if (node === undefined && stats.isSymbolicLink()) {
      node = {
        kind: "symlink",
        ...common,
        target: bytesOfBuffer(readlinkSync(place, { encoding: "buffer" })),
      };
    } else if (node === undefined && stats.isFIFO()) {
      node = { kind: "fifo", ...common };
    } else if (node === undefined) {
      const kind = stats.isCharacterDevice() ? "character" : "block";
      const [major, minor] = splitDevice(Number(stats.rdev));
      node = { kind, ...common, major, minor };
    }
    inodes.set(stats.ino, node);
    byPath.set(path, node);
    const slash = path.lastIndexOf("/");
    const parent = byPath.get(path.slice(0, Math.max(slash, 0)) as ByteString);
    if (parent?.kind === "directory") parent.children.set(path.slice(slash + 1) as ByteString, node);
  }
  return { root: byPath.get("." as ByteString) as DirectoryNode, data: Buffer.concat(pieces) };
}

function splitTime(nanoseconds: bigint): { seconds: bigint; nanoseconds: number } {
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: (nanoseconds - rest) / 1_000_000_000n, nanoseconds: Number(rest) };
}

function splitDevice(device: number): [number, number] {
  return [(device >>> 8) & 0xfff, (device & 0xff) | ((device >>> 12) & 0xfff00)];
}

for (const blockSize of blockSizes) {
  t.test(`writeErofs() shows a folder as GNU tar unpacks it, with blocks of ${blockSize}`, async (t) => {
    using folder = temporaryFolder();
    const [made, unpacked, archive] = ["made", "unpacked", "archive"].map((name) =>
      join(folder.path, name),
    ) as [string, string, string];
    mkdirSync(made);
    mkdirSync(unpacked);
    execFileSync("bash", ["-ec", MAKE_FOLDER], { cwd: made });
    const keep = ["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"];
    // GNU tar warns of times that are far away.
    const quiet = { stdio: "ignore" } as const;
    execFileSync("tar", ["--format=posix", ...keep, "-cf", archive, "-C", made, "."], quiet);
    execFileSync("tar", [...keep, "-xpf", archive, "-C", unpacked], quiet);
    const { root, data } = readFolder(made, blockSize);
    await using mounted = await mountImage({ root, blockSize, data });
    const [seen, wanted] = [listFolder(mounted.path), listFolder(unpacked)];
    t.equal(wanted.size, 21, "the archive holds the folder");
    t.same(seen, wanted);
    const plain = wanted.get("./etc/three" as ByteString);
    t.match(
      plain,
      /^file 0 70000:3000000000 .*user\.note=68656c6c6f/,
      "the listing tells of owners and attributes",
    );
  });
}
