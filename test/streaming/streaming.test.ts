import type { Any } from "@bufbuild/protobuf/wkt";
import t from "tap";
import { DataSchema, WindowUpdateSchema } from "../../gen/containerd/types/transfer/streaming_pb.js";
import {
  FRAME_BYTES,
  type ObjectStream,
  objectStream,
  objectType,
  openStream,
  packedObject,
  receiveBytes,
  StreamRegistry,
  sendBytes,
  serveStream,
  streamId,
  unpackedObject,
  WINDOW_BYTES,
} from "../../src/streaming/index.js";

function withReason(reason: string): Error {
  return { reason } as unknown as Error;
}

const forever = new AbortController().signal;

/** Two ends that are joined, and what went over in either direction. */
function joined(): { left: ObjectStream; right: ObjectStream; objects: Any[] } {
  const objects: Any[] = [];
  let toRight!: AsyncGenerator<Any>;
  const tap = (from: () => AsyncIterator<Any>): AsyncIterator<Any> => ({
    next: async () => {
      const result = await from().next();
      if (result.done !== true) objects.push(result.value);
      return result;
    },
  });
  const right = objectStream({ incoming: tap(() => toRight), signal: forever });
  const left = objectStream({ incoming: tap(() => right.outgoing), signal: forever });
  toRight = left.outgoing;
  return { left: left.stream, right: right.stream, objects };
}

async function* pieces(sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (const [index, size] of sizes.entries()) yield Buffer.alloc(size, index + 1);
}

t.test("receiveBytes() gives what sendBytes() sends", async (t) => {
  for (const sizes of [
    [],
    [1],
    [0, 5, 0],
    [WINDOW_BYTES],
    [300_000, 1, 70_000],
    [FRAME_BYTES, FRAME_BYTES],
  ]) {
    const { left, right, objects } = joined();
    const sent = sendBytes({ stream: left, source: pieces(sizes) });
    const received: Buffer[] = [];
    for await (const bytes of receiveBytes(right)) received.push(bytes);
    await sent;
    const wanted: Buffer[] = [];
    for await (const piece of pieces(sizes)) wanted.push(piece);
    t.ok(Buffer.concat(received).equals(Buffer.concat(wanted)), sizes.join(" "));
    let credit = 0;
    for (const object of objects) {
      if (objectType(object) === WindowUpdateSchema.typeName) {
        credit += unpackedObject(WindowUpdateSchema, object).update;
        t.ok(credit <= WINDOW_BYTES, "no more than the window is under way");
        continue;
      }
      const { data } = unpackedObject(DataSchema, object);
      credit -= data.length;
      t.ok(data.length <= FRAME_BYTES, "frames are short");
    }
    t.ok(credit >= 0, "no byte was sent without a grant");
  }
});

t.test("sendBytes() sends nothing before a grant and adds grants up", async (t) => {
  const { left, right, objects } = joined();
  const sent = sendBytes({ stream: left, source: pieces([10]) });
  const first = right.receive();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(objects.length, 0, "nothing came without a grant");
  await right.send(packedObject(WindowUpdateSchema, { update: 3 }));
  await right.send(packedObject(WindowUpdateSchema, { update: 3 }));
  const lengths: number[] = [];
  for (let object = await first; object !== undefined; object = await right.receive()) {
    lengths.push(unpackedObject(DataSchema, object).data.length);
    if (lengths.length === 2) await right.send(packedObject(WindowUpdateSchema, { update: 100 }));
  }
  await sent;
  t.equal(
    lengths.reduce((sum, length) => sum + length, 0),
    10,
    "all came",
  );
  t.ok(lengths[0]! <= 6, "the first grants were kept");
});

t.test("sendBytes() throws when the receiver leaves, and for a wrong grant", async (t) => {
  const left = joined();
  left.right.close();
  await t.rejects(sendBytes({ stream: left.left, source: pieces([10]) }), withReason("stream-receiver-left"));
  const wrong = joined();
  await wrong.right.send(packedObject(WindowUpdateSchema, { update: -1 }));
  await t.rejects(
    sendBytes({ stream: wrong.left, source: pieces([10]) }),
    withReason("stream-grant-invalid"),
  );
});

t.test("sendBytes() closes early and throws when the source breaks", async (t) => {
  const { left, right } = joined();
  const sent = sendBytes({
    stream: left,
    source: (async function* () {
      yield Buffer.from("some");
      throw new Error("source broke");
    })(),
  });
  sent.catch(() => undefined);
  const received: Buffer[] = [];
  for await (const bytes of receiveBytes(right)) received.push(bytes);
  t.equal(Buffer.concat(received).toString(), "some");
  await t.rejects(sent, { message: "source broke" });
});

t.test("receiveBytes() refuses more than it granted and passes over other objects", async (t) => {
  const { left, right } = joined();
  await left.send(packedObject(WindowUpdateSchema, { update: 1 }));
  await left.send(packedObject(DataSchema, { data: new Uint8Array(WINDOW_BYTES + 1) }));
  await t.rejects(receiveBytes(right).next(), withReason("stream-window-exceeded"));
});

t.test("openStream() and serveStream() meet in the registry", async (t) => {
  const registry = new StreamRegistry();
  const ended = new AbortController();
  const id = streamId("test");
  const call = (requests: AsyncIterable<Any>): AsyncIterable<Any> =>
    serveStream({ registry, requests, namespace: "one", lease: "held", signal: ended.signal });
  const client = await openStream({ id, call, signal: ended.signal });
  const server = registry.get({ namespace: "one", id });
  t.throws(() => registry.get({ namespace: "other", id }), { code: "NOT_FOUND" });
  await t.rejects(openStream({ id, call, signal: ended.signal }), { code: "ALREADY_EXISTS" });
  const sent = sendBytes({ stream: client, source: pieces([100_000]) });
  let length = 0;
  for await (const bytes of receiveBytes(server)) length += bytes.length;
  await sent;
  t.equal(length, 100_000);
  t.equal(await client.receive(), undefined, "the server closed it");
  t.equal(registry.size, 0, "nothing is left");
});

t.test("StreamRegistry ends the streams of a lease and those that nobody asks for", async (t) => {
  const registry = new StreamRegistry({ unusedMs: 1 });
  const open = (id: string, lease: string) =>
    openStream({
      id,
      signal: forever,
      call: (requests) => serveStream({ registry, requests, namespace: "one", lease, signal: forever }),
    });
  const held = await open("a", "gone");
  const other = await open("b", "stays");
  registry.get({ namespace: "one", id: "a" });
  registry.get({ namespace: "one", id: "b" });
  registry.endLease({ namespace: "one", lease: "gone" });
  t.equal(await held.receive(), undefined, "ended with its lease");
  t.equal(registry.size, 1, "the other is there");
  // The timer of a stream keeps no process alive.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  t.equal(await (await open("c", "stays")).receive(), undefined, "ended as nobody asked for it");
  registry.endLease({ namespace: "one", lease: "stays" });
  t.equal(await other.receive(), undefined);
  t.equal(registry.size, 0);
});

t.test("offer() says whether it sends, and send() waits for room", async (t) => {
  const ended = new AbortController();
  const { stream, outgoing } = objectStream({
    incoming: { next: async () => ({ done: true, value: undefined }) },
    signal: ended.signal,
  });
  const object = packedObject(WindowUpdateSchema, { update: 1 });
  let offered = 0;
  while (stream.offer(object)) offered += 1;
  t.ok(offered > 0 && offered < 100_000, "there is a bound");
  let isSent = false;
  const sent = stream.send(object).then(() => {
    isSent = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(isSent, "it waits");
  await outgoing.next();
  await sent;
  ended.abort();
  t.notOk(stream.offer(object), "nothing goes after the end");
  await t.rejects(stream.send(object), withReason("stream-ended"));
  await stream.flush();
});
