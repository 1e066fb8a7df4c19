import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { Events, ForwardRequestSchema } from "../../gen/containerd/services/events/ttrpc/v1/events_pb.js";
import { RequestSchema, ResponseSchema } from "../../gen/ttrpc/request_pb.js";
import { encodeFrame, type Frame, FrameReader } from "../../src/ttrpc/frame.js";
import { connectTtrpc, serveTtrpc, ttrpcService } from "../../src/ttrpc/index.js";

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-ttrpc-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A raw connection that gives back response frames in order. */
async function rawConnection(path: string) {
  const socket: Socket = connect(path);
  await once(socket, "connect");
  const reader = new FrameReader();
  const frames: Frame[] = [];
  let wake: (() => void) | undefined;
  socket.on("data", (chunk: Buffer) => {
    frames.push(...reader.push(chunk));
    wake?.();
  });
  const next = async () => {
    while (frames.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const frame = frames.shift()!;
    return { streamId: frame.streamId, ...fromBinary(ResponseSchema, frame.body!) };
  };
  return { socket, next };
}

function request(streamId: number, facts: { service?: string; method?: string; payload?: Uint8Array } = {}) {
  const body = toBinary(
    RequestSchema,
    create(RequestSchema, { service: Events.typeName, method: "Forward", ...facts }),
  );
  return encodeFrame({ streamId, type: 1, body });
}

t.test("FrameReader gives the same frames however the bytes are cut", async (t) => {
  const bodies = [new Uint8Array(0), new Uint8Array(1).fill(7), new Uint8Array(70_000).fill(9)];
  const bytes = Buffer.concat(
    bodies.map((body, index) => encodeFrame({ streamId: 2 * index + 1, type: 1, body })),
  );
  for (const step of [1, 3, 11, 4096, bytes.length]) {
    const reader = new FrameReader();
    const frames: Frame[] = [];
    for (let at = 0; at < bytes.length; at += step)
      frames.push(...reader.push(bytes.subarray(at, at + step)));
    t.same(
      frames.map(({ streamId, body }) => [streamId, body!.length, body![0]]),
      [
        [1, 0, undefined],
        [3, 1, 7],
        [5, 70_000, 9],
      ],
      `steps of ${step}`,
    );
  }
});

t.test("FrameReader drops a body above 4 MiB and reads on", async (t) => {
  const reader = new FrameReader();
  const header = Buffer.from([0, 0x40, 0, 1, 0, 0, 0, 1, 1, 0]);
  const frames = [...reader.push(header)];
  t.same(
    frames.map(({ body }) => body),
    [undefined],
  );
  const rest = Buffer.alloc(4 * 1024 * 1024 + 1);
  t.same([...reader.push(rest)], []);
  const [next] = [...reader.push(encodeFrame({ streamId: 3, type: 1, body: new Uint8Array(2) }))];
  t.equal(next?.streamId, 3);
  t.equal(next?.body?.length, 2);
});

t.test("encodeFrame() refuses a body above 4 MiB", async (t) => {
  t.throws(() => encodeFrame({ streamId: 1, type: 1, body: new Uint8Array(4 * 1024 * 1024 + 1) }), {
    code: "RESOURCE_EXHAUSTED",
    reason: "ttrpc-message-too-long",
  });
});

t.test("serveTtrpc() answers hostile frames and goes on serving", async (t) => {
  const socketPath = join(await folderOf(t), "s");
  const server = await serveTtrpc({
    socketPath,
    mode: 0o600,
    services: [ttrpcService(Events, { forward: async () => ({}) })],
  });
  t.teardown(() => server.close());
  const { socket, next } = await rawConnection(socketPath);
  t.teardown(() => socket.destroy());
  const oversized = Buffer.alloc(10 + 4 * 1024 * 1024 + 1);
  oversized.writeUInt32BE(4 * 1024 * 1024 + 1, 0);
  oversized.writeUInt32BE(1, 4);
  oversized[8] = 1;
  socket.write(oversized);
  t.match(await next(), { streamId: 1, status: { code: 8 } }, "too long");
  socket.write(request(2));
  t.match(await next(), { streamId: 2, status: { code: 3 } }, "even id");
  socket.write(encodeFrame({ streamId: 1, type: 1, body: Buffer.from([0xff, 0xff]) }));
  t.match(await next(), { streamId: 1, status: { code: 3 } }, "garbage for a request");
  socket.write(request(1));
  t.match(await next(), { streamId: 1, status: { code: 3 } }, "id used twice");
  socket.write(encodeFrame({ streamId: 9, type: 3, body: new Uint8Array(3) }));
  t.match(await next(), { streamId: 9, status: { code: 3 } }, "data of no stream");
  socket.write(encodeFrame({ streamId: 9, type: 200, body: new Uint8Array(3) }));
  socket.write(request(11, { service: "no.such.Service" }));
  t.match(await next(), { streamId: 11, status: { code: 12, message: "service no.such.Service" } });
  socket.write(request(13, { method: "Nothing" }));
  t.match(await next(), { streamId: 13, status: { code: 12, message: "method Nothing" } });
  socket.write(request(15, { payload: Buffer.from([0x0a, 0xff]) }));
  t.match(await next(), { streamId: 15, status: { code: 3 } }, "garbage for a payload");
  const stream = request(17);
  stream[9] = 2;
  socket.write(stream);
  t.match(await next(), { streamId: 17, status: { code: 12 } }, "streams are not served");
  const payload = toBinary(ForwardRequestSchema, create(ForwardRequestSchema, {}));
  socket.write(request(19, { payload }));
  t.match(await next(), { streamId: 19, status: { code: 0 } }, "a good call still works");

  const other = await rawConnection(socketPath);
  other.socket.end(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  await once(other.socket, "close");
  const client = await connectTtrpc({ path: socketPath });
  await client.call(Events.method.forward, {});
  client.close();
  await client.closed;
});

t.test("serveTtrpc() refuses a path that is served or is no socket", async (t) => {
  const folder = await folderOf(t);
  const options = { socketPath: join(folder, "s"), mode: 0o600, services: [] };
  const server = await serveTtrpc(options);
  await t.rejects(serveTtrpc(options), { code: "FAILED_PRECONDITION", reason: "socket-in-use" });
  await server.close();
  await server.close();
  await writeFile(options.socketPath, "");
  await t.rejects(serveTtrpc(options), { code: "FAILED_PRECONDITION", reason: "socket-path-taken" });
});
