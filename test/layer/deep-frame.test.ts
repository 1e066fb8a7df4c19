import { randomBytes } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { DecodedSource } from "../../src/layer/decoded-source.js";
import { layerPaths } from "../../src/layer/paths.js";
import { readBlobRange } from "../../src/layer/read-blob.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { command } from "../../testing/rig/command.js";
import { zstd } from "../../testing/zstdchunked-builder.js";
import { buildTar } from "../soci/builder.js";

const MIB = 1024 * 1024;
const BLOCK_BYTES = 128 * 1024;
const ZEROS_BYTES = 260 * MIB;

/** One frame of zstd (RFC 8878) of blocks as they are, and one byte that is repeated in between. */
function frameOf(before: Buffer, zeros: number, after: Buffer): Buffer {
  const header = (size: number, type: number, isLast: boolean): Buffer => {
    const bytes = Buffer.alloc(3);
    bytes.writeUIntLE((size << 3) | (type << 1) | (isLast ? 1 : 0), 0, 3);
    return bytes;
  };
  const repeated = Buffer.concat([header(BLOCK_BYTES, 1, false), Buffer.of(0)]);
  return Buffer.concat([
    Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 80),
    ...[header(before.length, 0, false), before],
    ...new Array<Buffer>(zeros / BLOCK_BYTES).fill(repeated),
    ...[header(after.length, 0, true), after],
  ]);
}

/** An archive of a file of zeros and a small one behind it, where the zeros are left out. */
function archiveParts(): { readonly before: Buffer; readonly after: Buffer } {
  const { tar } = buildTar([{ name: "last", type: "reg", content: Buffer.from("what comes last") }]);
  const before = Buffer.from(tar.subarray(0, 512));
  before.write("zeros\0", 0, "latin1");
  before.write(`${ZEROS_BYTES.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  before.fill(" ", 148, 156);
  const sum = before.reduce((total, byte) => total + byte, 0);
  before.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return { before, after: tar };
}

t.test(
  "a layer of one zstd frame above 256 MiB is pulled whole, and decoded again when units are lost",
  async (t) => {
    await using rig = await EngineRig.make();
    const { before, after } = archiveParts();
    const source = new MemorySource(frameOf(before, ZEROS_BYTES, after));
    rig.sources.set(source.digest, source);
    const engine = await rig.open();
    const request = {
      digest: source.digest,
      mediaType: "application/vnd.oci.image.layer.v1.tar+zstd",
      index: {
        kind: "whole" as const,
        diffId: sha256(Buffer.concat([before, Buffer.alloc(ZEROS_BYTES), after])),
      },
      openSource: async () => source,
      origin: { reference: "memory.example/sample:1", size: source.size },
    };
    await engine.ensure(request, {});
    t.match(engine.status(request.digest), {
      format: "zstd",
      complete: true,
      blobBytes: source.size,
    });
    const read = async (folder: string) => (await command("cat", [join(folder, "last")])).stdout;
    t.equal(await read(await engine.mountPoint(request.digest)), "what comes last");
    await engine.close();

    const paths = layerPaths(rig.root, request.digest);
    await rm(paths.data);
    const again = await rig.open();
    t.equal(again.status(request.digest).cachedUnits, 0);
    const fetched = source.fetchedBytes;
    const folder = await again.mountPoint(request.digest);
    t.equal(await read(folder), "what comes last");
    const { stdout } = await command("head", ["-c", "1000000", join(folder, "zeros")]);
    t.equal(stdout, "\0".repeat(1_000_000));
    t.equal(source.fetchedBytes - fetched, source.size, "the blob came once more for both");
    const { cachedUnits, units } = again.status(request.digest);
    t.ok(cachedUnits < units, "only what was read is kept");
    t.notOk((await readdir(paths.folder)).includes("decoded"), "the archive has no name");
  },
);

t.test(
  "DecodedSource decodes once for readers that leave, and anew when it is distrusted or has failed",
  async (t) => {
    await using rig = await EngineRig.make();
    const archive = buildTar([{ name: "file", type: "reg", content: randomBytes(3 * MIB) }]).tar;
    const source = new MemorySource(await zstd(archive));
    const decoded = new DecodedSource({
      binding: loadBinding(),
      source,
      mediaType: "application/vnd.oci.image.layer.v1.tar+zstd",
      processing: undefined,
      diffId: sha256(archive),
      path: join(rig.root, "decoded"),
      size: archive.length,
      signal: new AbortController().signal,
    });
    const read = async (offset: number, length: number, signal?: AbortSignal) =>
      await readBlobRange(decoded, { offset, length, signal });
    source.isDown = true;
    await t.rejects(read(0, 1));
    source.isDown = false;
    const leaving = new AbortController();
    const left = read(0, archive.length, leaving.signal);
    leaving.abort();
    await t.rejects(left);
    t.ok((await read(1000, 2 * MIB)).equals(archive.subarray(1000, 1000 + 2 * MIB)));
    t.ok((await read(archive.length - 5, 5)).equals(archive.subarray(-5)));
    t.equal(source.fetchedBytes, source.size, "one pass for all");
    decoded.distrust();
    t.ok((await read(0, 5)).equals(archive.subarray(0, 5)));
    t.equal(source.fetchedBytes, 2 * source.size, "and another one");
    t.same(await readdir(rig.root), [], "no name is left");
  },
);
