import { DataSchema, WindowUpdateSchema } from "../../gen/containerd/types/transfer/streaming_pb.js";
import { linkSignals } from "../async/index.js";
import { invalidArgument, LazuliError, resourceExhausted, unavailable } from "../errors/index.js";
import type { ObjectStream } from "./object-stream.js";
import { objectType, packedObject, unpackedObject } from "./packed.js";

/** Bytes of one Data at most (containerd core/transfer/streaming, maxRead). */
export const FRAME_BYTES = 32 * 1024;
/** Bytes that a receiver lets come before it has used those before (windowSize). */
export const WINDOW_BYTES = 64 * 1024;
/** Credit is an int32 at containerd's end. */
const CREDIT_MAX = 2 ** 31 - 1;

export interface SendBytes {
  readonly stream: ObjectStream;
  readonly source: AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends all bytes of a source as Data and closes the stream. Nothing is sent before the receiver grants it, and never
 * more than its grants add up to. There is no message for a failed source: the stream is closed early then, and the
 * error is thrown here. @throws UNAVAILABLE when the receiver leaves before the end; INVALID_ARGUMENT for a grant
 */
export async function sendBytes({ stream, source, signal }: SendBytes): Promise<void> {
  using link = linkSignals([signal]);
  const credit = new Credit();
  const grants = receiveGrants(stream, credit, link.signal);
  try {
    for await (const piece of source) {
      for (let at = 0; at < piece.length; ) {
        const length = Math.min(FRAME_BYTES, piece.length - at, await credit.available(link.signal));
        // A copy: the object waits for the connection, and the source may use its buffer again.
        const data = Uint8Array.prototype.slice.call(piece, at, at + length);
        await stream.send(packedObject(DataSchema, { data }), { signal: link.signal });
        credit.spend(length);
        at += length;
      }
    }
    await stream.flush({ signal: link.signal });
  } finally {
    stream.close();
    link.abort(new LazuliError("CANCELED", "All bytes are sent"));
    await grants;
  }
}

/** Never throws: what goes wrong ends the waiting for credit. */
async function receiveGrants(stream: ObjectStream, credit: Credit, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      const object = await stream.receive({ signal });
      if (object === undefined) {
        throw unavailable("Cannot send bytes: the receiver has left", { reason: "stream-receiver-left" });
      }
      // What a later containerd may send beside grants is no business of a sender.
      if (objectType(object) === WindowUpdateSchema.typeName) {
        credit.grant(unpackedObject(WindowUpdateSchema, object).update);
      }
    }
  } catch (thrown) {
    credit.end(thrown);
  }
}

class Credit {
  #bytes = 0;
  #failure: { readonly thrown: unknown } | undefined;
  #wake: () => void = () => undefined;

  grant(bytes: number): void {
    if (bytes < 0 || this.#bytes + bytes > CREDIT_MAX) {
      throw invalidArgument(`Cannot take a grant of ${bytes} bytes beside ${this.#bytes}`, {
        reason: "stream-grant-invalid",
      });
    }
    this.#bytes += bytes;
    this.#wake();
  }

  spend(bytes: number): void {
    this.#bytes -= bytes;
  }

  end(thrown: unknown): void {
    this.#failure = { thrown };
    this.#wake();
  }

  /** Bytes that may be sent, at least one. */
  async available(signal: AbortSignal): Promise<number> {
    while (this.#bytes === 0) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure.thrown;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#bytes;
  }
}

/**
 * The bytes that come as Data, up to the end of the stream, which is closed then. The sender is granted what has been
 * used, a frame at a time: at most 64 KiB are under way. @throws RESOURCE_EXHAUSTED for more than was granted, and what
 * broke the stream
 */
export async function* receiveBytes(
  stream: ObjectStream,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Buffer, void, undefined> {
  let granted = 0;
  try {
    for (;;) {
      if (granted <= WINDOW_BYTES - FRAME_BYTES) {
        // The sender may have sent all and gone: that shows below.
        stream.offer(packedObject(WindowUpdateSchema, { update: WINDOW_BYTES - granted }));
        granted = WINDOW_BYTES;
      }
      const object = await stream.receive({ signal });
      if (object === undefined) return;
      if (objectType(object) !== DataSchema.typeName) continue;
      const { data } = unpackedObject(DataSchema, object);
      if (data.length > granted) {
        throw resourceExhausted(`Cannot take ${data.length} bytes from a stream: want at most ${granted}`, {
          reason: "stream-window-exceeded",
        });
      }
      yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      granted -= data.length;
    }
  } finally {
    stream.close();
  }
}
