import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import type { Digest } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import type { StoredFile } from "./read-archive.js";
import { hasCode } from "./transfer-errors.js";

const READ_BYTES = 256 * 1024;

/** Keeps a gzip of a stored tar, noted as what it is of. */
export async function gzipLayer(options: {
  readonly store: ContentStore;
  readonly digest: Digest;
  readonly signal: AbortSignal;
}): Promise<StoredFile> {
  const { store, digest, signal } = options;
  const ref = `compress-blob-${digest.replace(":", "-")}`;
  const writer = await store.writer({ ref, total: 0, expected: undefined, signal });
  try {
    if (writer.offset > 0) await writer.truncate(0);
    await using reader = await store.open(digest, { signal });
    const plain = async function* (): AsyncGenerator<Uint8Array> {
      for (let offset = 0; offset < reader.size; ) {
        signal.throwIfAborted();
        const piece = await reader.read(offset, READ_BYTES);
        offset += piece.length;
        yield piece;
      }
    };
    const gzip = createGzip();
    const input = Readable.from(plain(), { objectMode: false });
    input.on("error", (error) => gzip.destroy(error));
    for await (const piece of input.pipe(gzip)) await writer.write(piece as Buffer);
    const file = { digest: writer.digest(), size: writer.offset };
    try {
      await writer.commit({
        size: file.size,
        expected: file.digest,
        labels: { "containerd.io/uncompressed": digest },
      });
    } catch (thrown) {
      if (!hasCode(thrown, "ALREADY_EXISTS")) throw thrown;
    }
    return file;
  } finally {
    await writer.close();
    await store.abort(ref).catch((thrown: unknown) => {
      // A committed ingest is gone.
      if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
    });
  }
}
