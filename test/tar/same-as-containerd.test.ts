import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { pack } from "tar-stream";
import { LazuliError } from "../../src/errors/index.js";
import { compileTar, readTar, TarCompiler, TarReader } from "../../src/tar/index.js";
import { rawTar, startUnpacker, type Unpacker } from "../../testing/tar/index.js";
import { listFolder } from "../erofs/listing.js";
import { mountImage, temporaryFolder } from "../erofs/mounted-image.js";
import { makeRandom } from "../erofs/trees.js";
import { compiled, dataFileOf } from "./compiled.js";
import { fillFolder } from "./random-folder.js";
import { listBoth } from "./same-listing.js";

const SEED = 20_261_121;

interface Maker {
  readonly name: string;
  readonly command: readonly string[];
  readonly isPlain?: boolean;
}

const keep = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
const gnu = (format: string, ...more: readonly string[]): Maker => ({
  name: ["GNU tar", format, ...more].join(" "),
  command: ["tar", `--format=${format}`, "--numeric-owner", ...more],
  isPlain: format === "v7" || format === "ustar" || format === "oldgnu",
});
const makers: readonly Maker[] = [
  gnu("v7"),
  gnu("ustar"),
  gnu("oldgnu"),
  gnu("gnu"),
  gnu("gnu", "--sparse"),
  gnu("posix", ...keep),
  gnu("posix", ...keep, "--sparse", "--sparse-version=0.0"),
  gnu("posix", ...keep, "--sparse", "--sparse-version=0.1"),
  gnu("posix", ...keep, "--sparse", "--sparse-version=1.0"),
  { name: "bsdtar pax", command: ["bsdtar", "--format=pax", "--numeric-owner"] },
  { name: "bsdtar gnutar", command: ["bsdtar", "--format=gnutar", "--numeric-owner"], isPlain: true },
];

async function checkSame(t: Test, unpacker: Unpacker, tar: Buffer): Promise<void> {
  const unpacked = await unpacker.unpack(tar);
  if ("error" in unpacked) {
    await t.rejects(compiled(tar), LazuliError, `containerd refuses it: ${unpacked.error.slice(-60)}`);
    return;
  }
  const { seen, wanted } = listBoth(tar, await compiled(tar), unpacked.folder);
  t.ok(wanted.size > 1, `${wanted.size} names`);
  t.same(seen, wanted);
}

t.test("compileTar() gives the tree that containerd unpacks, whoever wrote the archive", async (t) => {
  await using unpacker = await startUnpacker();
  for (const [index, maker] of makers.entries()) {
    const program = maker.command[0]!;
    const isMissing = spawnSync(program, ["--version"]).error !== undefined;
    await t.test(maker.name, { skip: isMissing && `${program} is not installed` }, async (t) => {
      using place = temporaryFolder();
      const folder = join(place.path, "made");
      const archive = join(place.path, "archive");
      mkdirSync(folder);
      fillFolder({ folder, seed: SEED + index, count: 120, isPlain: maker.isPlain ?? false });
      const [, ...options] = maker.command;
      spawnSync(program, [...options, "-cf", archive, "-C", folder, "."], { stdio: "ignore" });
      await checkSame(t, unpacker, readFileSync(archive));
    });
  }
  await t.test("tar-stream", async (t) => await checkSame(t, unpacker, await packed()));
  await t.test("two archives appended to each other", async (t) => {
    const end = 2 * 512;
    const first = await packed();
    const second = rawTar(
      { name: "dir", type: "5", mode: 0o700, mtime: 9 },
      { name: "dir/file", content: "new" },
    );
    await checkSame(t, unpacker, Buffer.concat([first.subarray(0, first.length - end), second]));
  });
});

async function packed(): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name: "dir", type: "directory", mode: 0o750, mtime: new Date(5000) });
  archive.entry({ name: "dir/file", mode: 0o4755, uid: 7, gid: 8, mtime: new Date(7000) }, "contents");
  archive.entry({ name: `dir/${"long/".repeat(40)}ü` }, "deep");
  archive.entry({ name: "link", type: "symlink", linkname: "dir/file" });
  archive.entry({ name: "hard", type: "link", linkname: "dir/file", mode: 0o644 });
  archive.entry({ name: "null", type: "character-device", devmajor: 1, devminor: 3 });
  archive.entry({ name: "pax", pax: { "SCHILY.xattr.user.note": "hello", mtime: "12.5" } }, "x");
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

t.test("compileTar() gives containerd's tree for entries that come in any order and place", async (t) => {
  await using unpacker = await startUnpacker();
  const random = makeRandom(SEED);
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!;
  const names = ["a", "b", "c", "a/b", "a/c", "b/a", "./a/b/c", "/c/a", "b/../a", "l", "l/a", "l/b/c", "m/a"];
  const targets = ["a", "b", "/a", "../b", "a/b", "l", "/c/../a", ".", "missing"];
  const types = ["0", "0", "0", "1", "2", "2", "5", "5", "5", "6", "g"];
  let accepted = 0;
  const rounds = 120;
  for (let round = 0; round < rounds; round += 1) {
    const entries = Array.from({ length: 2 + random(6) }, (_, index) => {
      const type = pick(types);
      const marker = random(12) === 0 ? pick(["a/.wh.b", ".wh.c", "b/.wh..wh..opq", "l/.wh.a"]) : undefined;
      const content = type === "0" ? `${index}` : "";
      const link = type === "1" || type === "2" ? pick(targets) : "";
      return {
        name: marker ?? pick(names),
        type,
        content,
        link,
        mode: pick([0o644, 0o755]),
        mtime: 1000 + index,
      };
    });
    const tar = rawTar(...entries);
    const unpacked = await unpacker.unpack(tar);
    const what = `round ${round}: ${entries.map(({ type, name, link }) => `${type} ${name} ${link}`).join(", ")}`;
    if ("error" in unpacked) {
      await t.rejects(compiled(tar), LazuliError, `${what}: ${unpacked.error}`);
      continue;
    }
    accepted += 1;
    const { seen, wanted } = listBoth(tar, await compiled(tar), unpacked.folder);
    t.same(seen, wanted, what);
  }
  t.ok(accepted > rounds / 5, `${accepted} of ${rounds} archives are good`);
});

t.test(
  "a mounted image of a compiled archive shows what containerd unpacks, sparse files included",
  async (t) => {
    await using unpacker = await startUnpacker();
    using place = temporaryFolder();
    const folder = join(place.path, "made");
    const archive = join(place.path, "archive");
    mkdirSync(folder);
    fillFolder({ folder, seed: SEED, count: 100 });
    execFileSync("tar", ["--format=posix", ...keep, "--sparse", "-cf", archive, "-C", folder, "."], {
      stdio: "ignore",
    });
    const tar = readFileSync(archive);
    const result = await compiled(tar);
    t.ok(result.needsCopy.length > 0, "there are sparse files");
    const unpacked = await unpacker.unpack(tar);
    if ("error" in unpacked) throw new Error(unpacked.error);
    const data = dataFileOf(tar, result);
    await using mounted = await mountImage({
      root: result.root,
      blockSize: 512,
      data,
      dataSize: result.dataSize,
    });
    const { wanted } = listBoth(tar, result, unpacked.folder);
    const seen = listFolder(mounted.path);
    seen.delete("." as never);
    wanted.delete("." as never);
    t.same(seen, wanted);
  },
);

t.test("compileTar() places a sparse file of 6 GiB behind the tar without copying its holes", async (t) => {
  using place = temporaryFolder();
  const archive = join(place.path, "archive");
  const script =
    'truncate -s 6G big; printf end | dd of=big bs=1 seek=6442450941 conv=notrunc status=none; tar -cSf "$1" --format=posix big';
  execFileSync("bash", ["-ec", script, "make", archive], { cwd: place.path });
  const file = openSync(archive, "r");
  const tarSize = readFileSync(archive).length;
  const entries = readTar({
    size: tarSize,
    read: async ({ offset, length }) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    },
  });
  const { root, dataSize, needsCopy } = await compileTar({ entries, tarSize });
  const node = root.children.get("big" as never);
  t.equal(needsCopy.length, 1);
  t.match(node, { kind: "file", size: 6_442_450_944n, dataOffset: BigInt(needsCopy[0]!.dataOffset) });
  t.equal(dataSize, needsCopy[0]!.dataOffset + 6_442_450_944);
  const copied = needsCopy[0]!.parts.reduce((sum, part) => sum + part.length, 0);
  t.ok(copied <= 4096, `${copied} bytes are copied`);
});

t.test("TarCompiler takes entries of a stream as they come", async (t) => {
  const tar = await packed();
  const reader = new TarReader();
  const compiler = new TarCompiler();
  for (let at = 0; at < tar.length; at += 100) {
    for (const event of reader.push(tar.subarray(at, at + 100))) {
      if (event.kind === "entry") compiler.add(event.entry);
    }
  }
  reader.end();
  t.same(compiler.finish(reader.offset), await compiled(tar));
});
