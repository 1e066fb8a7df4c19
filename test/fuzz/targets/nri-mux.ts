import { Duplex } from "node:stream";
import { Mux, muxConnections } from "../../../src/nri/mux.js";
import { refusingLater } from "../target.js";

/** In pieces as long as the first byte says, to readers that are never behind. */
export const fuzz = refusingLater(async (bytes) => {
  const step = 1 + (bytes[0] ?? 0);
  const trunk = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const mux = new Mux(trunk);
  for (const id of Object.values(muxConnections))
    mux
      .channel(id)
      .on("error", () => undefined)
      .resume();
  for (let at = 1; at < bytes.length; at += step) trunk.push(bytes.subarray(at, at + step));
  trunk.push(null);
  await new Promise((resolve) => setImmediate(resolve));
  mux.close();
  await mux.closed;
});
