import t from "tap";
import { type ByteString, bytesOfText, sha256 } from "../../src/bytes/index.js";
import { type CompiledToc, compileToc } from "../../src/estargz/index.js";
import type { FileNode } from "../../src/tree/index.js";
import { encodeUnitTable } from "../../src/units/index.js";
import {
  type BuildOptions,
  type BuiltLayer,
  buildEstargz,
  type LayerEntry,
  withToc,
} from "../../testing/estargz-builder.js";
import { decodeUnits, listTree } from "../../testing/estargz-decode.js";

const BLOCK = 4096;

function compile(layer: BuiltLayer): CompiledToc {
  const { tocJson: toc, blob, payloadEnd } = layer;
  return compileToc({ toc, blobSize: blob.length, payloadEnd, blockSize: BLOCK });
}

/** Bytes that gzip can't make smaller, the same in every run. */
function noise(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed;
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

const short = (content: Buffer | string): string => sha256(Buffer.from(content)).slice(7, 19);
const big = noise(30_000, 1);

const entries: readonly LayerEntry[] = [
  { name: "./", type: "dir", mode: 0o700, mtime: 1_700_000_000 },
  {
    name: "./usr/bin/tool",
    type: "reg",
    content: big,
    mode: 0o104755,
    uid: 10,
    gid: 4_000_000_000,
    mtime: 1_600_000_000,
  },
  { name: "usr/bin/", type: "dir", mode: 0o1777 },
  { name: "/usr/bin/link", type: "symlink", linkName: "../lib/x" },
  { name: "usr/bin/again", type: "hardlink", linkName: "./usr/bin/more" },
  // An unpacking containerd gives the inode what a link behind it says.
  {
    name: "usr/bin/more",
    type: "hardlink",
    linkName: "usr/bin/tool",
    mode: 0o640,
    uid: 20,
    mtime: 1_650_000_000,
  },
  { name: "dev/null", type: "char", devMajor: 1, devMinor: 3, mode: 0o666 },
  { name: "dev/sda", type: "block", devMajor: 8, devMinor: 0 },
  { name: "run/pipe", type: "fifo" },
  { name: "empty", type: "reg" },
  { name: "größe 名", type: "reg", content: "unicode" },
  {
    name: "capable",
    type: "reg",
    content: "c",
    xattrs: { "security.capability": Buffer.from([1, 0, 0xff]), "user.empty": "" },
  },
];

const listing: Record<string, string> = {
  "/": "directory 755 0:0 0",
  "/usr": "directory 755 0:0 0",
  "/usr/bin": "directory 1777 0:0 0",
  "/usr/bin/tool": `file 640 20:0 1650000000 ${short(big)}`,
  "/usr/bin/again": `file 640 20:0 1650000000 ${short(big)}`,
  "/usr/bin/more": `file 640 20:0 1650000000 ${short(big)}`,
  "/usr/bin/link": "symlink 777 0:0 0 -> ../lib/x",
  "/dev": "directory 755 0:0 0",
  "/dev/null": "character 666 0:0 0 1,3",
  "/dev/sda": "block 644 0:0 0 8,0",
  "/run": "directory 755 0:0 0",
  "/run/pipe": "fifo 644 0:0 0",
  "/empty": `file 644 0:0 0 ${short("")}`,
  "/größe 名": `file 644 0:0 0 ${short("unicode")}`,
  "/capable": `file 644 0:0 0 ${short("c")} security.capability=0100ff user.empty=`,
};

t.test("compileToc() makes the tree and the bytes of a layer, however it is cut into streams", async (t) => {
  const variants: Readonly<Record<string, BuildOptions>> = {
    "one chunk a file": {},
    "chunks that divide the file": { chunkSize: 10_000 },
    "chunks with a rest": { chunkSize: 7001 },
    "a chunk as long as the file": { chunkSize: 30_000 },
    "files that share streams": { minChunkSize: 100_000 },
    "chunks that share streams": { minChunkSize: 9000, chunkSize: 2500 },
    "shared from the first byte": { minChunkSize: 100_000, landmarks: false },
    "legacy footer": { footer: "legacy" },
    "external TOC": { footer: "external" },
    stored: { level: 0 },
  };
  for (const [name, options] of Object.entries(variants)) {
    const layer = buildEstargz(entries, options);
    const compiled = compile(layer);
    const { units, dataSize } = compiled;
    t.same(listTree(compiled, decodeUnits(layer.blob, compiled)), listing, name);
    const table = encodeUnitTable(units, { dataSize, blobSize: layer.blob.length, blockSize: BLOCK });
    t.equal(table.count, units.length, `${name}: a unit table takes the units`);
    t.ok(units.every(({ blobOffset, blobLength }) => blobOffset + blobLength <= layer.payloadEnd));
    t.equal(dataSize % BLOCK, 0);
  }
});

t.test("compileToc() lets hard links share one inode and puts files at block boundaries", async (t) => {
  const { root, facts } = compile(buildEstargz(entries, { chunkSize: 7001 }));
  const bin = directoryAt(directoryAt(root, "usr"), "bin");
  const tool = bin.children.get(bytesOfText("tool")) as FileNode;
  t.equal(bin.children.get(bytesOfText("more")), tool);
  t.equal(bin.children.get(bytesOfText("again")), tool);
  t.equal(Number(tool.dataOffset) % BLOCK, 0);
  t.equal((root.children.get(bytesOfText("empty")) as FileNode).dataOffset, undefined);
  t.match(facts, { entries: 17, nodes: 15, hardlinks: 2, impliedDirectories: 3, bytes: 30_009 });
});

function directoryAt(node: CompiledToc["root"], name: string): CompiledToc["root"] {
  const child = node.children.get(bytesOfText(name) as ByteString);
  if (child?.kind !== "directory") throw new Error(`${name} is no directory`);
  return child;
}

t.test("compileToc() tells what the landmarks say and leaves them out", async (t) => {
  const files: LayerEntry[] = ["a", "b", "c"].map((name) => ({ name, type: "reg", content: noise(500, 7) }));
  t.same(compile(buildEstargz(files)).prefetch, { kind: "none" });
  t.same(compile(buildEstargz(files, { landmarks: false })).prefetch, { kind: "unknown" });
  const layer = buildEstargz(files, { prioritized: 2 });
  const compiled = compile(layer);
  const landmark = layer.toc.entries.find(({ name }) => name === ".prefetch.landmark");
  t.same(compiled.prefetch, { kind: "range", end: landmark?.offset });
  t.same([...compiled.root.children.keys()].sort(), ["a", "b", "c"]);
  t.equal(compiled.units.length, 3);
  t.equal(compiled.units[1]!.blobOffset + compiled.units[1]!.blobLength, landmark?.offset);
});

t.test("compileToc() takes the last of several entries with one name", async (t) => {
  const layer = buildEstargz([
    { name: "dir/", type: "dir", mode: 0o700 },
    { name: "dir/a", type: "reg", content: "first" },
    { name: "dir/a", type: "symlink", linkName: "x", mode: 0o777 },
    { name: "dir/a", type: "reg", content: "second", mode: 0o600 },
    { name: "dir", type: "dir", mode: 0o711 },
  ]);
  const compiled = compile(layer);
  t.same(listTree(compiled, decodeUnits(layer.blob, compiled)), {
    "/": "directory 755 0:0 0",
    "/dir": "directory 711 0:0 0",
    "/dir/a": `file 600 0:0 0 ${short("second")}`,
  });
  t.equal(compiled.units.length, 1);
});

t.test("compileToc() converts whiteouts", async (t) => {
  const layer = buildEstargz([
    { name: "a/.wh.gone", type: "reg" },
    { name: "b/.wh..wh..opq", type: "reg" },
    { name: "b/kept", type: "reg", content: "k" },
  ]);
  const { root } = compile(layer);
  t.same([...directoryAt(root, "a").children.keys()], ["gone"]);
  const gone = directoryAt(root, "a").children.get(bytesOfText("gone"));
  t.match(gone, { kind: "character", major: 0, minor: 0 });
  t.same([...directoryAt(root, "b").children.keys()], ["kept"]);
  t.ok(directoryAt(root, "b").xattrs.some(({ name }) => name.endsWith(".overlay.opaque")));
});

t.test("compileToc() takes an empty layer", async (t) => {
  for (const entries of [null, []]) {
    const layer = withToc(buildEstargz([]), () => ({ version: 1, entries }));
    const { root, units, dataSize } = compile(layer);
    t.equal(root.children.size, 0);
    t.equal(root.mode, 0o755);
    t.same([units.length, dataSize], [0, 0]);
  }
});

t.test("compileToc() reads what other writers leave behind", async (t) => {
  const layer = withToc(buildEstargz([{ name: "a", type: "reg", content: "hello" }]), (toc) => {
    for (const entry of toc.entries)
      Object.assign(entry, { NumLink: 0, accesstime: "x", xattrs: null, uid: null });
    const file = toc.entries[1]!;
    delete file.chunkDigest;
    Object.assign(file, { chunkSize: 5, modtime: "2001-02-03T04:05:06.000000007+01:30" });
    return { ...toc, tarSplitDigest: "sha256:x" };
  });
  const compiled = compile(layer);
  t.match(compiled.root.children.get(bytesOfText("a")), {
    size: 5n,
    mtime: { seconds: BigInt(Date.UTC(2001, 1, 3, 2, 35, 6) / 1000), nanoseconds: 7 },
  });
  decodeUnits(layer.blob, compiled);
});

t.test("compileToc() asks for no more of the blob than a unit can need", async (t) => {
  const layer = buildEstargz([{ name: "a", type: "reg", content: "hello" }]);
  const options = { toc: layer.tocJson, blobSize: 1e12, payloadEnd: 1e12, blockSize: BLOCK };
  t.equal(compileToc(options).units[0]!.blobLength, 1024 * 1024 + 2 * 5);
});
