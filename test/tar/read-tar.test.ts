import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { bytesOfText } from "../../src/bytes/index.js";
import { readTar, type TarEntry, TarReader } from "../../src/tar/index.js";
import { rawTar } from "../../testing/tar/index.js";
import { temporaryFolder } from "../erofs/mounted-image.js";

interface Range {
  readonly offset: number;
  readonly length: number;
}

async function entriesOf(tar: Buffer, reads: Range[] = []): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  const read = async (range: Range): Promise<Buffer> => {
    reads.push(range);
    return tar.subarray(range.offset, range.offset + range.length);
  };
  for await (const entry of readTar({ size: tar.length, read })) entries.push(entry);
  return entries;
}

t.test("readTar() gives all that a header says", async (t) => {
  const block = Buffer.from("user\0");
  const tar = rawTar({
    name: "n",
    prefix: "p",
    content: "abc",
    mode: 0o4711,
    uid: 1,
    gid: 2,
    mtime: 3,
    major: 4,
    minor: 5,
    patch: (header) => {
      block.copy(header, 265);
      header.write("group", 297);
    },
    pax: [
      ["SCHILY.xattr.user.a", Buffer.from([0, 255])],
      ["LIBARCHIVE.xattr.user.b%20c", "aGVsbG8"],
      ["mtime", "-1.25"],
      ["linkpath", "target"],
    ],
  });
  t.same(await entriesOf(tar), [
    {
      kind: "file",
      typeFlag: "0",
      name: "p/n",
      linkName: "target",
      mode: 0o4711,
      uid: 1,
      gid: 2,
      userName: "user",
      groupName: "group",
      mtime: { seconds: -2n, nanoseconds: 750_000_000 },
      xattrs: [{ name: "user.a", value: Buffer.from([0, 255]) }],
      libarchiveXattrs: [{ name: "user.b c", value: Buffer.from("hello") }],
      devMajor: 4,
      devMinor: 5,
      size: 3,
      headerOffset: 0,
      dataOffset: 1536,
      packedSize: 3,
      sparse: undefined,
    },
  ]);
});

t.test("readTar() passes over the contents of large files", async (t) => {
  const size = 3_000_000;
  const tar = rawTar(
    { name: "a", content: Buffer.alloc(size) },
    { name: "b", content: Buffer.alloc(size) },
    { name: "c" },
  );
  const reads: Range[] = [];
  const entries = await entriesOf(tar, reads);
  t.same(
    entries.map(({ name, dataOffset }) => [name, dataOffset]),
    [
      ["a", 512],
      ["b", 1024 + padded(size)],
      ["c", 1536 + 2 * padded(size)],
    ],
  );
  const bytes = reads.reduce((sum, { length }) => sum + length, 0);
  t.ok(bytes < size / 4, `${bytes} of ${tar.length} bytes are read`);
  t.ok(
    reads.every(({ offset, length }) => offset + length <= tar.length),
    "all reads are inside",
  );
});

function padded(size: number): number {
  return Math.ceil(size / 512) * 512;
}

t.test("readTar() refuses a source that gives less than it has", async (t) => {
  const iterate = async (): Promise<void> => {
    for await (const entry of readTar({ size: 4096, read: async () => Buffer.alloc(100) }))
      t.fail(entry.name);
  };
  await t.rejects(iterate(), { code: "DATA_LOSS", reason: "tar-short-read" });
});

t.test("readTar() stops when it is told to", async (t) => {
  const controller = new AbortController();
  controller.abort(new Error("enough"));
  const entries = readTar({ size: 512, read: async () => Buffer.alloc(512), signal: controller.signal });
  await t.rejects(entries.next(), { message: "enough" });
});

t.test("readTar() reads the sparse files of all of GNU tar's formats", async (t) => {
  using place = temporaryFolder();
  const script = `
    truncate -s 1M sparse
    for block in 3 40 41 90 130 150 170 190 210 230; do printf data%d $block | dd of=sparse bs=4096 seek=$block conv=notrunc status=none; done
  `;
  execFileSync("bash", ["-ec", script], { cwd: place.path });
  const wanted = readFileSync(join(place.path, "sparse"));
  const formats = [
    ["gnu"],
    ["oldgnu"],
    ["posix", "--sparse-version=0.0"],
    ["posix", "--sparse-version=0.1"],
    ["posix", "--sparse-version=1.0"],
  ];
  for (const [format, ...options] of formats) {
    execFileSync("tar", ["--sparse", `--format=${format}`, ...options, "-cf", "archive", "sparse"], {
      cwd: place.path,
    });
    const tar = readFileSync(join(place.path, "archive"));
    const [entry] = await entriesOf(tar);
    t.match(
      entry,
      { kind: "file", name: bytesOfText("sparse"), size: wanted.length },
      `${format} ${options}`,
    );
    const content = Buffer.alloc(entry!.size);
    let from = entry!.dataOffset;
    for (const { offset, length } of entry!.sparse ?? []) {
      tar.copy(content, offset, from, from + length);
      from += length;
    }
    t.ok(content.equals(wanted), "the contents are the same");
    t.equal(from, entry!.dataOffset + entry!.packedSize);
  }
});

t.test("TarReader reads a million entries that come in chunks", async (t) => {
  const count = 1_000_000;
  const perChunk = 2000;
  const chunk = rawTar(...Array.from({ length: perChunk }, (_, index) => ({ name: `d/${index}` })));
  const headers = chunk.subarray(0, chunk.length - 1024);
  const reader = new TarReader();
  let entries = 0;
  for (let at = 0; at < count; at += perChunk) for (const _ of reader.push(headers)) entries += 1;
  reader.end();
  t.equal(entries, count);
  t.equal(reader.offset, count * 512);
});
