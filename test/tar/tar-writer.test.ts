import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { extract } from "tar-stream";
import { type ByteString, bytesOfText } from "../../src/bytes/index.js";
import { type TarEntry, TarReader, type TarWriteEntry, TarWriter } from "../../src/tar/index.js";
import { startUnpacker } from "../../testing/tar/index.js";
import { temporaryFolder } from "../erofs/mounted-image.js";
import { makeRandom } from "../erofs/trees.js";
import { compiled } from "./compiled.js";
import { listBoth } from "./same-listing.js";

interface Written {
  readonly entry: TarWriteEntry;
  readonly content: Buffer;
}

const common = { mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 1_600_000_000n, nanoseconds: 0 } };

function written(entries: readonly Written[]): Buffer {
  const writer = new TarWriter();
  const pieces: Buffer[] = [];
  for (const { entry, content } of entries) {
    pieces.push(writer.header(entry), content);
    writer.content(content.length);
    pieces.push(writer.padding());
  }
  pieces.push(writer.end());
  const tar = Buffer.concat(pieces);
  t.equal(writer.offset, tar.length);
  return tar;
}

function entriesOf(tar: Buffer, chunkBytes: number): { entries: TarEntry[]; contents: Buffer[] } {
  const reader = new TarReader();
  const entries: TarEntry[] = [];
  const contents: Buffer[] = [];
  for (let at = 0; at < tar.length; at += chunkBytes) {
    // A copy that is overwritten afterwards: the reader may not hold on to it.
    const chunk = Buffer.from(tar.subarray(at, at + chunkBytes));
    for (const event of reader.push(chunk)) {
      if (event.kind === "entry") {
        entries.push(event.entry);
        contents.push(Buffer.alloc(0));
      } else contents[contents.length - 1] = Buffer.concat([contents.at(-1)!, event.bytes]);
    }
    chunk.fill(0xee);
  }
  reader.end();
  return { entries, contents };
}

function randomEntries(seed: number, count: number): Written[] {
  const random = makeRandom(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!;
  const kinds = ["file", "file", "directory", "symlink", "hardlink", "character", "block", "fifo"] as const;
  const text = (length: number): ByteString => {
    let made = "";
    while (made.length < length)
      made += String.fromCharCode(pick([0x61, 0x7a, 0x20, 0x3d, 0x0a, 0xe9, 0xff]));
    return made as ByteString;
  };
  return Array.from({ length: count }, (_, index) => {
    const kind = pick(kinds);
    const content = kind === "file" ? Buffer.alloc(random(3) * random(700), index) : Buffer.alloc(0);
    const folders = "folder/".repeat(random(3) * random(20));
    const name = `${folders}${index}${random(2) === 0 ? "" : text(random(200))}` as ByteString;
    const entry: TarWriteEntry = {
      kind,
      name,
      ...(kind === "symlink" || kind === "hardlink" ? { linkName: text(1 + random(200)) } : {}),
      mode: random(0o10000),
      uid: pick([0, 1000, 2_097_151, 2_097_152, 4_294_967_294]),
      gid: pick([0, 1000, 2_097_151, 2_097_152, 4_294_967_294]),
      userName: pick([bytesOfText(""), bytesOfText("root"), text(40)]),
      groupName: pick([bytesOfText(""), bytesOfText("wheel"), text(31)]),
      mtime: {
        seconds: BigInt(pick([0, -1, -100_000, 1_700_000_000, 8_589_934_591, 8_589_934_592, 2 ** 40])),
        nanoseconds: pick([0, 1, 500_000_000, 999_999_999]),
      },
      xattrs: Array.from({ length: random(3) }, (_, each) => ({
        name: bytesOfText(`user.${each}ü`),
        value: Buffer.from(text(random(300)), "latin1"),
      })),
      ...(kind === "character" || kind === "block"
        ? { devMajor: random(4096), devMinor: random(2 ** 20) }
        : {}),
      size: content.length,
    };
    return { entry, content };
  });
}

t.test("TarReader gives back what TarWriter wrote, in chunks of any size", async (t) => {
  for (const [seed, chunkBytes] of [1, 7, 512, 1000, 1 << 20].entries()) {
    const wanted = randomEntries(seed, 60);
    const { entries, contents } = entriesOf(written(wanted), chunkBytes);
    t.equal(entries.length, wanted.length, `chunks of ${chunkBytes}`);
    for (const [index, { entry, content }] of wanted.entries()) {
      const { size = 0, ...rest } = entry;
      const name = entry.kind === "directory" ? `${entry.name}/` : entry.name;
      t.match(entries[index], { ...rest, name, size: entry.kind === "file" ? size : 0 }, entry.name);
      t.same(contents[index], content);
    }
  }
});

t.test("TarWriter writes the same bytes for the same entries", async (t) => {
  t.same(written(randomEntries(5, 80)), written(randomEntries(5, 80)));
});

t.test("containerd, GNU tar and tar-stream read what TarWriter wrote", async (t) => {
  const entries: Written[] = [];
  const add = (entry: Partial<TarWriteEntry> & Pick<TarWriteEntry, "kind" | "name">, content = ""): void => {
    entries.push({ entry: { ...common, size: content.length, ...entry }, content: Buffer.from(content) });
  };
  const name = bytesOfText;
  add({
    kind: "directory",
    name: name("d"),
    mode: 0o2755,
    uid: 3_000_000,
    mtime: { seconds: 5n, nanoseconds: 7 },
  });
  add(
    {
      kind: "file",
      name: name("d/ünï"),
      xattrs: [{ name: name("user.a"), value: Buffer.from([0, 10, 255]) }],
    },
    "one",
  );
  add({ kind: "file", name: name(`d/${"p".repeat(90)}/${"q".repeat(90)}`) }, "prefix");
  add({ kind: "file", name: name(`d/${"r".repeat(200)}`) }, "pax");
  add({ kind: "symlink", name: name("l"), linkName: name("t".repeat(150)) });
  add({ kind: "hardlink", name: name("h"), linkName: name("d/ünï") });
  add({ kind: "character", name: name("c"), devMajor: 4095, devMinor: 1_048_575 });
  add({ kind: "fifo", name: name("f"), mtime: { seconds: 8_589_934_592n, nanoseconds: 0 } });
  const tar = written(entries);

  await using unpacker = await startUnpacker();
  const unpacked = await unpacker.unpack(tar);
  if ("error" in unpacked) throw new Error(unpacked.error);
  const { seen, wanted } = listBoth(tar, await compiled(tar), unpacked.folder);
  t.same(seen, wanted, "containerd unpacks it");

  using place = temporaryFolder();
  const archive = join(place.path, "archive");
  writeFileSync(archive, tar);
  const listed = execFileSync("tar", ["-tf", archive, "--quoting-style=literal"], { encoding: "latin1" });
  const names = entries.map(({ entry }) => `${entry.name}${entry.kind === "directory" ? "/" : ""}`);
  t.same(listed.trimEnd().split("\n"), names, "GNU tar lists it");

  const extracted: string[] = [];
  const other = extract();
  other.end(tar);
  for await (const entry of other) {
    extracted.push(entry.header.name);
    entry.resume();
  }
  t.same(
    extracted,
    names.map((bytes) => Buffer.from(bytes, "latin1").toString()),
    "tar-stream lists it",
  );
});

t.test("TarWriter says the size of a large file in both headers", async (t) => {
  const size = 9 * 1024 ** 3;
  const header = new TarWriter().header({ ...common, kind: "file", name: bytesOfText("big"), size });
  t.match(header.toString("latin1"), `size=${size}\n`);
  const block = header.subarray(header.length - 512);
  t.equal(block.readBigUInt64BE(128), BigInt(size), "a reader that knows no PAX finds the next header, too");
});

const unwritable: Readonly<Record<string, Partial<TarWriteEntry>>> = {
  "an empty name": { name: bytesOfText("") },
  "a slash behind a name": { name: bytesOfText("a/") },
  "NUL in a name": { name: bytesOfText("a\0b") },
  "a link without a target": { kind: "symlink" },
  "NUL in a target": { kind: "symlink", linkName: bytesOfText("\0") },
  "a device number above 7 octal digits": { kind: "character", devMajor: 2 ** 21 },
  "a negative owner": { uid: -1 },
  "an xattr with =": { xattrs: [{ name: bytesOfText("user.a=b"), value: Buffer.alloc(0) }] },
  "an xattr twice": {
    xattrs: [
      { name: bytesOfText("user.a"), value: Buffer.alloc(0) },
      { name: bytesOfText("user.a"), value: Buffer.alloc(1) },
    ],
  },
};

t.test("TarWriter refuses what no header can hold", async (t) => {
  for (const [what, change] of Object.entries(unwritable)) {
    const entry: TarWriteEntry = { ...common, kind: "file", name: bytesOfText("a"), ...change };
    t.throws(
      () => new TarWriter().header(entry),
      { code: "INVALID_ARGUMENT", reason: "tar-unwritable" },
      what,
    );
  }
});
