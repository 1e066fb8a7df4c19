import { Duplex } from "node:stream";
import { SpdySession } from "../../../src/cri/streaming/spdy-session.js";
import { refusingLater } from "../target.js";

const IDLE_MS = 10_000;

/** A client's bytes, in pieces as long as the first byte says; what its streams carry is read. */
export const fuzz = refusingLater(async (bytes) => {
  const step = 1 + (bytes[0] ?? 0);
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const session = new SpdySession({
    socket,
    head: Buffer.alloc(0),
    idleTimeoutMs: IDLE_MS,
    onStream: (stream) => {
      void drain(stream.incoming);
      return stream.headers.get("streamtype") !== "error";
    },
  });
  for (let at = 1; at < bytes.length; at += step) socket.push(Buffer.from(bytes.subarray(at, at + step)));
  socket.push(null);
  await new Promise((resolve) => setImmediate(resolve));
  session.close();
  socket.destroy();
  await closed;
});

async function drain(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of pieces) piece.at(-1);
}
