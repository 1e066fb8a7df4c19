import t from "tap";
import { openZstdChunked, parseZstdFooter } from "../../src/zstdchunked/index.js";
import {
  type BuiltDialect,
  type BuiltZstdLayer,
  buildZstdChunked,
  unzstd,
  zstd,
} from "../../testing/zstdchunked-builder.js";
import { openBlob, readerOf } from "../../testing/zstdchunked-read.js";

const dialects = ["stargz", "containers", "old-containers"] as const;
const entries = [{ name: "a", type: "reg", content: "hello" }] as const;

async function build(dialect: BuiltDialect): Promise<BuiltZstdLayer> {
  return await buildZstdChunked(entries, { dialect });
}

t.test(
  "openZstdChunked() reads a small blob once and from the TOC on when an annotation says where it is",
  async (t) => {
    for (const dialect of dialects) {
      const { blob, annotations, tocJson, payloadEnd } = await build(dialect);
      const { read, ranges } = readerOf(blob);
      const opened = await openZstdChunked({ blobSize: blob.length, read, decompress: unzstd, annotations });
      t.same(opened.toc, tocJson, dialect);
      t.equal(opened.payloadEnd, payloadEnd);
      t.equal(opened.dialect, dialect === "stargz" ? "stargz" : "containers");
      t.equal(opened.tarSplit !== undefined, dialect === "containers");
      t.same(ranges, [{ offset: payloadEnd, length: blob.length - payloadEnd }]);
    }
  },
);

t.test("openZstdChunked() finds the TOC by the footer when only its digest is known", async (t) => {
  for (const dialect of dialects) {
    const { blob, annotations, tocJson, tocDigest, payloadEnd } = await build(dialect);
    const checksum = Object.fromEntries(
      Object.entries(annotations).filter(([key]) => key.endsWith("checksum")),
    );
    const digest = { "containerd.io/snapshot/stargz/toc.digest": tocDigest };
    for (const known of [checksum, digest]) {
      for (const tailGuessBytes of [undefined, 1, 100, blob.length - payloadEnd - 1]) {
        const { read, ranges } = readerOf(blob);
        const options = {
          blobSize: blob.length,
          read,
          decompress: unzstd,
          annotations: known,
          tailGuessBytes,
        };
        t.same((await openZstdChunked(options)).toc, tocJson, `${dialect}, ${tailGuessBytes}`);
        t.ok(ranges.length <= 2);
      }
    }
  }
});

t.test("openZstdChunked() passes over a tar-split that is longer than its first read", async (t) => {
  const blobSize = 20_000_000;
  const { annotations, tocJson } = await build("stargz");
  const tocFrame = await zstd(tocJson);
  const payload = Buffer.alloc(1000);
  const splitSize = blobSize - payload.length - tocFrame.length - 16 - 72;
  const numbers = [1008, tocFrame.length, tocJson.length, 1, 1016 + tocFrame.length, splitSize, splitSize];
  const fields = Buffer.alloc(56);
  for (const [index, number] of numbers.entries()) fields.writeBigUInt64LE(BigInt(number), index * 8);
  const header = (length: number): Buffer => {
    const bytes = Buffer.from("502a4d1800000000", "hex");
    bytes.writeUInt32LE(length, 4);
    return bytes;
  };
  const large = Buffer.concat([
    payload,
    header(tocFrame.length),
    tocFrame,
    header(splitSize),
    Buffer.alloc(splitSize),
    header(64),
    fields,
    Buffer.from("GNUlInUx"),
  ]);
  t.equal(large.length, blobSize);
  const { read, ranges } = readerOf(large);
  const known = {
    "io.github.containers.zstd-chunked.manifest-position": `1008:${tocFrame.length}:${tocJson.length}:1`,
    "io.github.containers.zstd-chunked.manifest-checksum":
      annotations["io.containers.zstd-chunked.manifest-checksum"]!,
  };
  const opened = await openZstdChunked({ blobSize, read, decompress: unzstd, annotations: known });
  t.same(opened.toc, tocJson);
  t.same(ranges, [
    { offset: blobSize - 4 * 1024 * 1024, length: 4 * 1024 * 1024 },
    { offset: 1000, length: tocFrame.length + 16 },
  ]);
});

t.test("openZstdChunked() refuses what it can't verify", async (t) => {
  const { blob, annotations } = await build("stargz");
  const { read, ranges } = readerOf(blob);
  const options = { blobSize: blob.length, read, decompress: unzstd };
  const position = Object.fromEntries(
    Object.entries(annotations).filter(([key]) => key.endsWith("position")),
  );
  const missing = { code: "FAILED_PRECONDITION", reason: "toc-digest-missing" };
  await t.rejects(openZstdChunked({ ...options, annotations: {} }), missing);
  await t.rejects(openZstdChunked({ ...options, annotations: position }), missing);
  t.same(ranges, [], "and reads nothing then");
  const short = async ({ length }: { length: number }): Promise<Buffer> => blob.subarray(0, length - 1);
  await t.rejects(openZstdChunked({ ...options, read: short, annotations }), {
    code: "DATA_LOSS",
    reason: "short-read",
  });
});

t.test(
  "openZstdChunked() passes on what read and decompress throw, and the reason of an abort",
  async (t) => {
    const { blob, annotations } = await build("containers");
    const controller = new AbortController();
    const gone = new Error("gone");
    const { read } = readerOf(blob);
    const options = {
      blobSize: blob.length,
      read,
      decompress: unzstd,
      annotations,
      signal: controller.signal,
    };
    const failing = async (): Promise<Buffer> => {
      throw gone;
    };
    await t.rejects(openZstdChunked({ ...options, read: failing }), gone);
    await t.rejects(openZstdChunked({ ...options, decompress: failing }), gone);
    const aborting = async (frame: Uint8Array, maxSize: number): Promise<Buffer> => {
      controller.abort(gone);
      return await unzstd(frame, maxSize);
    };
    await t.rejects(openZstdChunked({ ...options, decompress: aborting }), gone);
  },
);

t.test("parseZstdFooter() reads the footers of the format's description", async (t) => {
  const footer = Buffer.from(
    "502a4d182800000034120000000000006400000000000000c8000000000000000100000000000000476e556c496e5578",
    "hex",
  );
  const toc = { offset: 0x1234, compressedSize: 100, size: 200 };
  t.same(parseZstdFooter(footer, 0x1234 + 100 + 48), { toc, tarSplit: undefined, start: 0x1234 + 100 });
});

t.test("openZstdChunked() gives the checksum of the tar-split that an annotation has", async (t) => {
  const { blob, annotations } = await build("containers");
  const checksum = `sha256:${"a".repeat(64)}`;
  const key = "io.github.containers.zstd-chunked.tarsplit-checksum";
  t.equal((await openBlob(blob, annotations)).tarSplit?.checksum, undefined);
  t.equal((await openBlob(blob, { ...annotations, [key]: checksum })).tarSplit?.checksum, checksum);
});
