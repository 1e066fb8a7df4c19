import t from "tap";
import { type ByteString, bytesOfText } from "../../src/bytes/index.js";
import { TarCompiler, type TarEntry } from "../../src/tar/index.js";

const base: TarEntry = {
  kind: "file",
  typeFlag: "0",
  name: bytesOfText("a"),
  linkName: bytesOfText(""),
  mode: 0o644,
  uid: 0,
  gid: 0,
  userName: bytesOfText(""),
  groupName: bytesOfText(""),
  mtime: { seconds: 0n, nanoseconds: 0 },
  xattrs: [],
  libarchiveXattrs: [],
  devMajor: 0,
  devMinor: 0,
  size: 0,
  headerOffset: 0,
  dataOffset: 512,
  packedSize: 0,
  sparse: undefined,
};

function* numbered(count: number, make: (index: number) => Partial<TarEntry>): Generator<TarEntry> {
  for (let index = 0; index < count; index += 1) yield { ...base, ...make(index) };
}

function compile(entries: Iterable<TarEntry>): void {
  const compiler = new TarCompiler();
  for (const entry of entries) compiler.add(entry);
  compiler.finish(1024);
}

const deep = (index: number): ByteString => bytesOfText(`${index}/${"d/".repeat(900)}x`);
const big = { name: bytesOfText("user.a"), value: Buffer.alloc(60_000) };

const tooMuch: Readonly<
  Record<string, { readonly entries: () => Iterable<TarEntry>; readonly reason: string }>
> = {
  "directories that names only imply": {
    entries: () => numbered(300, (index) => ({ name: deep(index) })),
    reason: "tar-too-many-entries",
  },
  "bytes of attributes": {
    entries: () => numbered(5000, () => ({ xattrs: [big] })),
    reason: "tar-too-much-metadata",
  },
  "regions of sparse files": {
    entries: () => {
      const sparse = Array.from({ length: 100_000 }, (_, at) => ({ offset: at * 2, length: 1 }));
      return numbered(20, () => ({ size: 1_000_000, packedSize: 100_000, sparse }));
    },
    reason: "tar-sparse-too-long",
  },
  "bytes of sparse files": {
    entries: () =>
      numbered(3, (index) => ({ name: bytesOfText(`${index}`), size: 8 * 1024 ** 4, sparse: [] })),
    reason: "tar-file-too-large",
  },
};

t.test("TarCompiler refuses too many", async (t) => {
  for (const [what, { entries, reason }] of Object.entries(tooMuch)) {
    t.throws(() => compile(entries()), { code: "RESOURCE_EXHAUSTED", reason }, what);
  }
});

t.test("TarCompiler refuses names that take ever longer to look up through links", async (t) => {
  const path = "d/".repeat(500);
  const entries = [
    { ...base, name: bytesOfText(`${path}x`) },
    { ...base, kind: "symlink", typeFlag: "2", name: bytesOfText("l"), linkName: bytesOfText(path) } as const,
    ...numbered(400, (index) => ({ name: bytesOfText(`l/${index}/x`) })),
  ];
  t.throws(() => compile(entries), { code: "INVALID_ARGUMENT", reason: "tar-link-loop" });
});

t.test("TarCompiler takes 200,000 names in one directory", async (t) => {
  const compiler = new TarCompiler();
  for (const entry of numbered(200_000, (index) => ({ name: bytesOfText(`d/${index}`) })))
    compiler.add(entry);
  const { facts, implied } = compiler.finish(1024);
  t.match(facts, { entries: 200_000, nodes: 200_002 });
  t.equal(implied.size, 1);
});
