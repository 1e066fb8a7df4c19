import { PassThrough, Readable, type Transform } from "node:stream";
import { createGunzip } from "node:zlib";
import { unimplemented } from "../errors/index.js";

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b, 0x08]);
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

export type StreamCompression = "gzip" | "zstd" | "none";

/** What a stream that begins so is packed with, as containerd tells it. */
export function compressionOf(beginning: Uint8Array): StreamCompression {
  const bytes = Buffer.from(beginning.buffer, beginning.byteOffset, beginning.byteLength);
  if (bytes.subarray(0, 3).equals(GZIP_MAGIC)) return "gzip";
  return bytes.subarray(0, 4).equals(ZSTD_MAGIC) ? "zstd" : "none";
}

/** A stream as it was before it was packed with gzip, if it was. @throws UNIMPLEMENTED for zstd, and what the decoder throws */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  let bytes = 0;
  while (bytes < ZSTD_MAGIC.length) {
    const next = await iterator.next();
    if (next.done === true) break;
    first.push(Buffer.from(next.value));
    bytes += next.value.length;
  }
  const beginning = Buffer.concat(first);
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    try {
      if (beginning.length > 0) yield beginning;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
        yield next.value;
    } finally {
      await iterator.return?.();
    }
  };
  const input = Readable.from(whole(), { objectMode: false });
  const decoder = decoderFor(compressionOf(beginning));
  input.on("error", (error) => decoder.destroy(error));
  try {
    for await (const piece of input.pipe(decoder)) yield piece as Buffer;
  } finally {
    decoder.destroy();
    input.destroy();
  }
}

function decoderFor(compression: StreamCompression): Transform {
  if (compression === "gzip") return createGunzip();
  if (compression === "none") return new PassThrough();
  throw unimplemented("Cannot import an archive that is packed with zstd", {
    reason: "archive-zstd",
    hint: "Unpack it first: zstd -d < image.tar.zst | ctr images import -",
  });
}
