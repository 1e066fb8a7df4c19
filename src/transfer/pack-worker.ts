import { createHash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { gzipSync } from "node:zlib";
import { loadBinding } from "../fuse/index.js";

export type PackCodec = "gzip" | "zstd";

export interface PackRequest {
  readonly id: number;
  readonly codec: PackCodec;
  readonly level: number;
  readonly bytes: Uint8Array;
  /** Lengths of the streams that the bytes are, in order. */
  readonly streams: readonly number[];
  /** Pieces whose sha256 is wanted. */
  readonly pieces: readonly { readonly start: number; readonly length: number }[];
}

export type PackReply =
  | {
      readonly id: number;
      readonly isPacked: true;
      /** All streams, packed, one behind the other. */
      readonly bytes: Uint8Array;
      readonly lengths: readonly number[];
      /** Hex. */
      readonly digests: readonly string[];
    }
  | { readonly id: number; readonly isPacked: false; readonly message: string };

async function packed(request: PackRequest): Promise<PackReply> {
  const { id, bytes, streams, pieces, codec, level } = request;
  const starts: number[] = [];
  let start = 0;
  for (const length of streams) {
    starts.push(start);
    start += length;
  }
  const streamAt = (index: number): Uint8Array =>
    bytes.subarray(starts[index]!, starts[index]! + streams[index]!);
  const outputs =
    codec === "gzip"
      ? // The header has no time and no name: the same bytes and level make the same member.
        streams.map((_, index) => gzipSync(streamAt(index), { level }))
      : await Promise.all(streams.map((_, index) => loadBinding().compressFrame(streamAt(index), level)));
  const digests = pieces.map((piece) =>
    createHash("sha256")
      .update(bytes.subarray(piece.start, piece.start + piece.length))
      .digest("hex"),
  );
  // Of its own memory, so that it can change hands.
  const output = Buffer.allocUnsafeSlow(outputs.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const one of outputs) at += one.copy(output, at);
  return { id, isPacked: true, bytes: output, lengths: outputs.map(({ length }) => length), digests };
}

parentPort?.on("message", (request: PackRequest) => {
  packed(request).then(
    (reply) => {
      const memory = reply.isPacked ? [reply.bytes.buffer as ArrayBuffer] : [];
      parentPort?.postMessage(reply, memory);
    },
    (thrown: unknown) => {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      parentPort?.postMessage({ id: request.id, isPacked: false, message } satisfies PackReply);
    },
  );
});
