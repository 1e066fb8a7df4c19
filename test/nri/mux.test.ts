import { Duplex, PassThrough } from "node:stream";
import t from "tap";
import { Mux, muxConnections } from "../../src/nri/mux.js";

/** Two ends of a connection; what `left` writes comes in chunks of `step` bytes. */
function pair(step: number): { left: Duplex; right: Duplex; written: Buffer[] } {
  const toRight = new PassThrough();
  const toLeft = new PassThrough();
  const written: Buffer[] = [];
  const left = Duplex.from({
    readable: toLeft,
    writable: toRight,
  });
  const cut = new PassThrough();
  toRight.on("data", (chunk: Buffer) => {
    written.push(chunk);
    for (let at = 0; at < chunk.length; at += step) cut.write(chunk.subarray(at, at + step));
  });
  const right = Duplex.from({ readable: cut, writable: toLeft });
  return { left, right, written };
}

t.test("Mux carries messages of both connections however the bytes are cut", async (t) => {
  for (const step of [1, 7, 4096]) {
    const { left, right } = pair(step);
    const sender = new Mux(left);
    const receiver = new Mux(right);
    const got: Record<string, Buffer[]> = { plugin: [], runtime: [] };
    for (const [name, id] of Object.entries(muxConnections)) {
      receiver.channel(id).on("data", (chunk: Buffer) => got[name]?.push(chunk));
    }
    sender.channel(muxConnections.plugin).write(Buffer.alloc(10_000, "a"));
    sender.channel(muxConnections.runtime).write(Buffer.from("short"));
    sender.channel(muxConnections.plugin).write(Buffer.from("end"));
    const size = (): number => Buffer.concat([...(got["plugin"] ?? []), ...(got["runtime"] ?? [])]).length;
    while (size() < 10_008) await new Promise((resolve) => setImmediate(resolve));
    t.equal(Buffer.concat(got["plugin"]!).toString(), `${"a".repeat(10_000)}end`, `steps of ${step}`);
    t.equal(Buffer.concat(got["runtime"]!).toString(), "short");
    sender.close();
    receiver.close();
    await Promise.all([sender.closed, receiver.closed]);
  }
});

t.test("Mux writes a message as one frame of at most 4096 bytes and one of the rest", async (t) => {
  const { left, right, written } = pair(65_536);
  const sender = new Mux(left);
  const receiver = new Mux(right);
  for (const length of [10, 4096, 4097, 70_000]) {
    written.length = 0;
    sender.channel(muxConnections.plugin).write(Buffer.alloc(length));
    const parts = length > 4096 ? [4096, length - 4096] : [length];
    const total = parts.reduce((sum, part) => sum + part + 8, 0);
    while (Buffer.concat(written).length < total) await new Promise((resolve) => setImmediate(resolve));
    const bytes = Buffer.concat(written);
    let at = 0;
    for (const part of parts) {
      t.same(
        [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)],
        [muxConnections.plugin, part],
        `${length} bytes`,
      );
      at += 8 + part;
    }
    t.equal(at, bytes.length);
  }
  sender.close();
  receiver.close();
});

t.test("the end of one of Mux's streams is the end of all", async (t) => {
  const { left, right } = pair(4096);
  const here = new Mux(left);
  const there = new Mux(right);
  here.channel(muxConnections.plugin).destroy();
  await here.closed;
  t.ok(here.channel(muxConnections.runtime).destroyed);
  there.close();
  await there.closed;
});
