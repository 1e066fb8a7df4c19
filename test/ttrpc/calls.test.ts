import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { Events } from "../../gen/containerd/services/events/ttrpc/v1/events_pb.js";
import { ResponseSchema } from "../../gen/ttrpc/request_pb.js";
import { notFound } from "../../src/errors/index.js";
import { encodeFrame, FrameReader } from "../../src/ttrpc/frame.js";
import {
  connectTtrpc,
  serveTtrpc,
  type TtrpcCallContext,
  type TtrpcHandlers,
  ttrpcService,
} from "../../src/ttrpc/index.js";

const { forward } = Events.method;

async function socketPathOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-ttrpc-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "s");
}

async function connected(t: Test, handlers: TtrpcHandlers<typeof Events>) {
  const socketPath = await socketPathOf(t);
  const server = await serveTtrpc({ socketPath, mode: 0o600, services: [ttrpcService(Events, handlers)] });
  const client = await connectTtrpc({ path: socketPath });
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  return { socketPath, server, client };
}

/** A server whose answers a test writes by hand. */
async function handMade(t: Test, onFrame: (socket: Socket, streamId: number) => void) {
  const socketPath = await socketPathOf(t);
  const server = createServer((socket) => {
    const reader = new FrameReader();
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      for (const { streamId } of reader.push(chunk)) onFrame(socket, streamId);
    });
  });
  server.listen(socketPath);
  await once(server, "listening");
  const client = await connectTtrpc({ path: socketPath });
  t.teardown(() => {
    client.close();
    server.close();
  });
  return client;
}

t.test("call() carries messages, metadata and errors both ways", async (t) => {
  const seen: TtrpcCallContext[] = [];
  const { client, socketPath } = await connected(t, {
    forward: async ({ envelope }, context) => {
      seen.push(context);
      if (envelope?.topic === "/none") throw notFound("task x: not found", { subject: "x" });
      return {};
    },
  });
  t.equal((await stat(socketPath)).mode & 0o777, 0o600, "only the owner may connect");
  const metadata = { "containerd-namespace-ttrpc": "k8s.io" };
  await client.call(forward, { envelope: { topic: "/a" } }, { metadata });
  t.same(seen[0]?.metadata, metadata);
  await t.rejects(client.call(forward, { envelope: { topic: "/none" } }), {
    code: "NOT_FOUND",
    message: "task x: not found",
    reason: "ttrpc-status",
  });
  await t.rejects(client.call(forward, {}, { serviceName: "other.Events" }), {
    code: "UNIMPLEMENTED",
    message: "service other.Events",
  });
  await Promise.all(Array.from({ length: 300 }, () => client.call(forward, {})));
  t.equal(seen.length, 302, "many calls at once over one connection");
});

t.test("call() ends at its timeout or signal, and the handler's signal aborts", async (t) => {
  const aborted: unknown[] = [];
  let entered = (): void => undefined;
  const { client } = await connected(t, {
    forward: async ({ envelope }, { signal }) => {
      if (envelope === undefined) return {};
      entered();
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          aborted.push(signal.reason.name);
          resolve();
        });
      });
      return {};
    },
  });
  await t.rejects(client.call(forward, { envelope: {} }, { timeoutMs: 20 }), { code: "DEADLINE_EXCEEDED" });
  while (aborted.length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.same(aborted, ["TimeoutError"], "the server has the deadline too");
  const controller = new AbortController();
  entered = () => controller.abort();
  await t.rejects(client.call(forward, { envelope: {} }, { signal: controller.signal }), {
    code: "CANCELED",
  });
  await client.call(forward, {});
  client.close();
  await client.closed;
  while (aborted.length === 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(aborted.length, 2, "the end of the connection aborts what still runs");
});

t.test("call() fails UNAVAILABLE when the connection ends, pending or not", async (t) => {
  const client = await handMade(t, (socket) => socket.destroy());
  const answers = await Promise.allSettled([client.call(forward, {}), client.call(forward, {})]);
  for (const answer of answers) {
    t.match(answer, { status: "rejected", reason: { code: "UNAVAILABLE", reason: "ttrpc-closed" } });
  }
  await client.closed;
  await t.rejects(client.call(forward, {}), { code: "UNAVAILABLE", reason: "ttrpc-closed" });
});

t.test("call() survives answers that are wrong", async (t) => {
  let answer: (streamId: number) => Buffer = () => Buffer.alloc(0);
  const client = await handMade(t, (socket, streamId) => socket.write(answer(streamId)));
  const good = (streamId: number): Buffer =>
    encodeFrame({ streamId, type: 2, body: toBinary(ResponseSchema, create(ResponseSchema, {})) });
  answer = (streamId) => encodeFrame({ streamId, type: 2, body: Buffer.from([0xff]) });
  await t.rejects(client.call(forward, {}), { code: "INTERNAL", reason: "ttrpc-bad-answer" });
  answer = (streamId) =>
    encodeFrame({
      streamId,
      type: 2,
      body: toBinary(ResponseSchema, create(ResponseSchema, { payload: Buffer.from([0x0a, 0xff]) })),
    });
  await t.rejects(client.call(forward, {}), { code: "INTERNAL", reason: "ttrpc-bad-answer" });
  answer = (streamId) =>
    encodeFrame({
      streamId,
      type: 2,
      body: toBinary(ResponseSchema, create(ResponseSchema, { status: { code: 99, message: "odd" } })),
    });
  await t.rejects(client.call(forward, {}), { code: "UNKNOWN", message: "odd" });
  answer = (streamId) => {
    const bytes = Buffer.alloc(10 + 4 * 1024 * 1024 + 1);
    bytes.writeUInt32BE(bytes.length - 10, 0);
    bytes.writeUInt32BE(streamId, 4);
    bytes[8] = 2;
    return bytes;
  };
  await t.rejects(client.call(forward, {}), { code: "RESOURCE_EXHAUSTED", reason: "ttrpc-answer-too-long" });
  answer = (streamId) =>
    Buffer.concat([
      good(streamId + 2),
      encodeFrame({ streamId, type: 3, body: new Uint8Array(1) }),
      good(streamId),
      good(streamId),
    ]);
  await client.call(forward, {});
  answer = good;
  await client.call(forward, {});
});

t.test("call() refuses more than 4096 pending calls and a message above 4 MiB", async (t) => {
  const client = await handMade(t, () => undefined);
  const pending = Array.from({ length: 4096 }, () => client.call(forward, {}));
  await t.rejects(client.call(forward, {}), { code: "RESOURCE_EXHAUSTED", reason: "ttrpc-too-many-calls" });
  client.close();
  const ends = await Promise.allSettled(pending);
  t.ok(ends.every(({ status }) => status === "rejected"));
  const other = await handMade(t, () => undefined);
  await t.rejects(other.call(forward, { envelope: { topic: "x".repeat(4 * 1024 * 1024) } }), {
    code: "RESOURCE_EXHAUSTED",
    reason: "ttrpc-message-too-long",
  });
});

t.test("a server answers 1024 calls of a connection at once, and refuses more", async (t) => {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { client } = await connected(t, {
    forward: async () => {
      await released;
      return {};
    },
  });
  const calls = Array.from({ length: 1024 }, () => client.call(forward, {}));
  await t.rejects(client.call(forward, {}), { code: "RESOURCE_EXHAUSTED", reason: "ttrpc-status" });
  release();
  await Promise.all(calls);
  await client.call(forward, {});
});

t.test("connectTtrpc() fails for a socket that is not there or a signal that came first", async (t) => {
  const path = await socketPathOf(t);
  await t.rejects(connectTtrpc({ path }), { code: "NOT_FOUND" });
  await t.rejects(connectTtrpc({ path, signal: AbortSignal.abort() }));
});
