import t from "tap";
import { type ByteString, bytesOfText, sha256 } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import {
  type CompiledZtoc,
  checkWindow,
  compileZtoc,
  encodeGzipZinfo,
  encodeZtoc,
  hasNoXattrs,
  type ZtocEntry,
} from "../../src/soci/index.js";
import type { LayerEntry } from "../../testing/estargz-tar.js";
import { listFolder } from "../erofs/listing.js";
import { mountImage } from "../erofs/mounted-image.js";
import { type BuiltSoci, buildSoci, decodeSpans, paxRecord, ztocEntry } from "./builder.js";
import { prose, sampleLayer } from "./sample-layer.js";
import { treeLines } from "./tree-lines.js";

function compile(built: BuiltSoci, ztoc: Buffer = built.ztoc): CompiledZtoc {
  return compileZtoc({ ztoc, digest: sha256(ztoc), blobSize: built.blob.length });
}

/** Only the tree of entries that need no bytes of a layer: they stand one behind another in a tar of 10,000 blocks. */
function treeOf(layer: readonly LayerEntry[], change: (entry: ZtocEntry) => ZtocEntry = (entry) => entry) {
  const built = buildSoci([{ name: "filler", type: "reg", content: Buffer.alloc(1_000_000) }]);
  let end = 0;
  const entries = layer.map((entry) => {
    const made = change(ztocEntry(entry, end + 512));
    end = Math.ceil((made.dataOffset + (made.type === "reg" ? made.size : 0)) / 512) * 512;
    return made;
  });
  const facts = { compressedSize: built.blob.length, uncompressedSize: built.tar.length, buildTool: "" };
  const compiled = compile(built, encodeZtoc({ ...built, ...facts, entries }));
  return { compiled, lines: treeLines(compiled.root, Buffer.alloc(built.tar.length)) };
}

function reasonOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof LazuliError) return error.reason;
    throw error;
  }
  return undefined;
}

const time = 1_600_000_000;
const short = (content: Buffer | string): string =>
  `${content.length} ${sha256(Buffer.from(content)).slice(7, 19)}`;
const tool = `file 4755 10:4000000000 ${time} ${short(prose(150_001, 1))}`;
const implied = "directory 755 0:0 0";
const listing: Record<string, string> = {
  // An unpacking containerd passes over what an archive says of its root.
  "/": implied,
  "/usr": `directory 755 0:0 ${time}`,
  "/usr/bin": `directory 1777 3:0 ${time}`,
  "/usr/bin/tool": tool,
  "/usr/bin/again": tool,
  "/usr/bin/sh": `symlink 777 0:0 ${time} -> tool`,
  "/dev": implied,
  "/dev/null": `character 666 0:0 ${time} 1,3`,
  "/dev/disk": `block 644 0:0 ${time} 8,17`,
  "/run": implied,
  "/run/pipe": `fifo 600 0:0 ${time}`,
  "/empty": `file 644 0:0 ${time} 0 e3b0c44298fc`,
  "/capable": `file 644 0:0 ${time} ${short("c")} security.capability=0100000200040000000000000000000000000000 user.note=6e`,
  "/old": implied,
  "/old/gone": `character 0 0:0 ${time} 0,0`,
  "/opaque": `directory 755 0:0 ${time} trusted.overlay.opaque=79`,
  "/opaque/kept": `file 644 0:0 ${time} ${short("kept")}`,
  "/long": implied,
  [`/long/${"n".repeat(120)}`]: `file 644 0:0 ${time} ${short("long")}`,
  "/name with spaces": implied,
  "/name with spaces/größe 名": `file 644 0:0 ${time} ${short(prose(260_000, 2))}`,
  "/replaced": `file 644 0:0 ${time} ${short("stays")}`,
  "/last": `file 644 0:0 ${time} ${short(prose(70_000, 3))}`,
};

t.test("compileZtoc() gives the tree of the tar, whose files lie in the tar itself", async (t) => {
  for (const options of [{}, { zinfoVersion: 1 }, { algorithm: "uncompressed" }, { level: 0 }] as const) {
    const built = buildSoci(sampleLayer, options);
    const compiled = compile(built);
    t.same(treeLines(compiled.root, decodeSpans(compiled, built.blob)), listing, JSON.stringify(options));
    t.equal(compiled.dataSize, built.tar.length);
  }
  const { facts } = compile(buildSoci(sampleLayer));
  t.match(facts, {
    entries: 20,
    hardlinks: 1,
    spanSize: 65_536,
    overlay: { whiteouts: 1, opaqueDirectories: 1 },
  });
});

t.test("compileZtoc() gives spans that go through several gzip members", async (t) => {
  const built = buildSoci(sampleLayer, { memberSize: 50_000 });
  const compiled = compile(built);
  t.ok(compiled.units.length > 2);
  t.ok(decodeSpans(compiled, built.blob).equals(built.tar));
});

t.test(
  "compileZtoc() gives one unit for a small layer, and none for the padding of an archive",
  async (t) => {
    const built = buildSoci([{ name: "a", type: "reg", content: prose(200_000, 5) }]);
    const compiled = compile(built);
    const last = compiled.units.at(-1)!;
    const facts = { compressedSize: built.blob.length, buildTool: "" };
    const shorter = encodeZtoc({ ...built, ...facts, entries: [], uncompressedSize: last.dataOffset - 512 });
    t.equal(compile(built, shorter).units.length, compiled.units.length - 1);
    t.equal(compile(built, shorter).dataSize, last.dataOffset - 512);
    t.equal(compile(buildSoci([{ name: "a", type: "reg", content: "a" }])).units.length, 1);
  },
);

t.test("compileZtoc() leaves nothing in a window that stands before the tar", async (t) => {
  const built = buildSoci(sampleLayer, { spanSize: 10_000 });
  const checkpoints = built.checkpoints.map((point) => ({ ...point, window: Buffer.from(point.window) }));
  checkpoints[0]!.window.fill(0x41);
  const zinfo = encodeGzipZinfo({ version: 2, spanSize: 10_000, checkpoints });
  const facts = { compressedSize: built.blob.length, uncompressedSize: built.tar.length, buildTool: "" };
  const { windows } = compile(built, encodeZtoc({ ...built, ...facts, zinfo }));
  t.ok(windows.subarray(0, 32_768).every((byte) => byte === 0));
});

t.test("compileZtoc() makes a meta image with blocks of 512 bytes over the tar", async (t) => {
  const built = buildSoci(sampleLayer);
  const { root } = compile(built);
  await using mounted = await mountImage({ root, blockSize: 512, data: built.tar });
  const seen = listFolder(mounted.path);
  t.match(seen.get("./usr/bin/tool" as ByteString), `links=2 150001 ${sha256(prose(150_001, 1)).slice(7)}`);
  t.match(seen.get(bytesOfText("./name with spaces/größe 名")), sha256(prose(260_000, 2)).slice(7));
  t.match(seen.get("./last" as ByteString), sha256(prose(70_000, 3)).slice(7));
});

t.test("compileZtoc() does what each entry makes an unpacking containerd do", async (t) => {
  const { lines } = treeOf([
    { name: "a", type: "reg", content: "1", xattrs: { "security.capability": "x", "user.kept": "k" } },
    {
      name: "b",
      type: "hardlink",
      linkName: "./a",
      mode: 0o600,
      uid: 5,
      mtime: 9,
      xattrs: { "user.new": "n" },
    },
    { name: "dir/", type: "dir", xattrs: { "user.first": "1", "user.both": "1" } },
    { name: "dir/below/file", type: "reg" },
    { name: "dir", type: "dir", mode: 0o700, xattrs: { "user.both": "2" } },
    { name: "swap/below", type: "reg" },
    { name: "swap", type: "symlink", linkName: "a" },
    { name: "swap", type: "dir" },
    { name: "link", type: "symlink", linkName: "a", mode: 0o600 },
    { name: "link2", type: "hardlink", linkName: "link", mode: 0o600 },
    { name: "a", type: "reg", content: "22" },
  ]);
  t.equal(lines["/b"], `file 600 5:0 9 1 ${sha256(Buffer.alloc(1)).slice(7, 19)} user.kept=6b user.new=6e`);
  t.match(lines["/a"], "file 644 0:0 0 2 ");
  t.equal(lines["/dir"], "directory 700 0:0 0 user.first=31 user.both=32");
  t.match(lines["/dir/below/file"], "file");
  t.equal(lines["/swap"], "directory 755 0:0 0");
  t.notOk("/swap/below" in lines);
  t.match(lines["/link2"], "symlink 777");
});

t.test(
  "compileZtoc() keeps names that are not UTF-8, and times as an unpacking containerd has them",
  async (t) => {
    const odd = "\xff\xfe" as ByteString;
    const { compiled } = treeOf(
      [
        { name: "x", type: "reg" },
        { name: "late", type: "reg" },
      ],
      (entry) =>
        entry.name === ("x" as ByteString)
          ? { ...entry, name: odd, mtime: { seconds: 1n, nanoseconds: 5_000 } }
          : { ...entry, mtime: { seconds: 99_999_999_999n, nanoseconds: 0 } },
    );
    t.same(compiled.root.children.get(odd)!.mtime, { seconds: 1n, nanoseconds: 5_000 });
    t.same(compiled.root.children.get("late" as ByteString)!.mtime, { seconds: 0n, nanoseconds: 0 });
  },
);

t.test("compileZtoc() refuses a sparse file and what leads nowhere", async (t) => {
  const sparse = (entry: ZtocEntry): ZtocEntry => ({
    ...entry,
    paxRecords: [paxRecord("GNU.sparse.major", "1")],
  });
  const rows: readonly [readonly LayerEntry[], string, ((entry: ZtocEntry) => ZtocEntry)?][] = [
    [[{ name: "a", type: "reg" }], "ztoc-sparse", sparse],
    [[{ name: "a", type: "hardlink", linkName: "a" }], "ztoc-hardlink-missing"],
    [
      [
        { name: "a", type: "hardlink", linkName: "b" },
        { name: "b", type: "reg" },
      ],
      "ztoc-hardlink-missing",
    ],
    [
      [
        { name: "d", type: "dir" },
        { name: "a", type: "hardlink", linkName: "d" },
      ],
      "ztoc-hardlink-target",
    ],
    [
      [
        { name: "s", type: "symlink", linkName: "d" },
        { name: "s/x", type: "reg" },
      ],
      "ztoc-parent",
    ],
  ];
  for (const [layer, reason, change] of rows)
    t.equal(
      reasonOf(() => treeOf(layer, change)),
      reason,
      reason,
    );
});

t.test("checkWindow() tells a forged window from the data before its unit", async (t) => {
  const built = buildSoci(sampleLayer);
  const layout = compile(built);
  const windowOf = (unit: number) => layout.windows.subarray(unit * 32_768, (unit + 1) * 32_768);
  for (const [unit, { dataOffset }] of layout.units.entries()) {
    checkWindow({ unit, dataOffset, window: windowOf(unit), before: built.tar.subarray(0, dataOffset) });
  }
  const unit = layout.units.length - 1;
  const { dataOffset } = layout.units[unit]!;
  const before = built.tar.subarray(0, dataOffset);
  const forged = Buffer.from(windowOf(unit));
  forged[7]! ^= 1;
  for (const wrong of [
    { window: forged, before },
    { window: windowOf(unit), before: before.subarray(-100) },
    { window: windowOf(unit).subarray(1), before },
  ]) {
    t.equal(
      reasonOf(() => checkWindow({ unit, dataOffset, ...wrong })),
      "zinfo-window-mismatch",
    );
  }
});

t.test("hasNoXattrs() counts attributes and opaque markers", async (t) => {
  const of = (...layer: LayerEntry[]): boolean => hasNoXattrs(layer.map((entry) => ztocEntry(entry, 512)));
  t.ok(of({ name: "a", type: "reg" }, { name: "b".repeat(101), type: "reg" }));
  t.notOk(of({ name: "a", type: "reg", xattrs: { "user.x": "" } }));
  t.notOk(of({ name: "d/.wh..wh..opq", type: "reg" }));
});
