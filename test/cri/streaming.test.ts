import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import t, { type Test } from "tap";
import { WebSocket } from "ws";
import { type StreamRuntime, type StreamServer, startStreamServer } from "../../src/cri/index.js";
import { controlFrame, dataFrame, type Frame, FrameReader } from "../../src/cri/streaming/spdy-frames.js";
import { HeaderCodec } from "../../src/cri/streaming/spdy-headers.js";
import { notFound } from "../../src/errors/index.js";

/** Echoes its input in upper case; the command says how it ends. */
const runtime: StreamRuntime = {
  exec: async ({ containerId, command, isTerminal, streams }) => {
    if (containerId === "none") throw notFound('container "none"', { reason: "container-missing" });
    if (command[0] === "size") {
      for await (const { width, height } of streams.resizes!) {
        await streams.stdout!(Buffer.from(`${width}x${height}`));
        if (width === 1) return 0;
      }
    }
    if (command[0] === "flood") {
      for (let index = 0; index < 64; index += 1) await streams.stdout!(Buffer.alloc(100_000, index));
      return 0;
    }
    await streams.stderr?.(Buffer.from(`terminal ${isTerminal}`));
    for await (const piece of streams.stdin ?? []) {
      await streams.stdout!(Buffer.from(Buffer.from(piece).toString().toUpperCase()));
      if (piece.includes(0x0a)) break;
    }
    return Number(command[1] ?? 0);
  },
  attach: async ({ streams }) => await streams.stdout!(Buffer.from("attached")),
  forwardPort: async ({ port, incoming, outgoing }) => {
    if (port === 9) throw notFound("nobody listens");
    for await (const piece of incoming) {
      await outgoing(Buffer.concat([Buffer.from(`${port}:`), piece]));
      if (piece.includes(0x0a)) return;
    }
  },
};

async function start(t: Test): Promise<StreamServer> {
  const server = await startStreamServer({
    address: "127.0.0.1",
    port: 0,
    tls: undefined,
    idleTimeoutMs: 60_000,
    runtime,
  });
  t.teardown(() => server.close());
  return server;
}

const all = { isTerminal: false, stdin: true, stdout: true, stderr: true };

interface Heard {
  readonly channels: Map<number, string>;
  readonly code: number;
}

/** Everything that the server says until it closes. */
async function heard(socket: WebSocket, isBase64 = false): Promise<Heard> {
  const channels = new Map<number, string>();
  socket.on("message", (data: Buffer) => {
    const channel = isBase64 ? data[0]! - 0x30 : data[0]!;
    const text = isBase64
      ? Buffer.from(data.subarray(1).toString(), "base64").toString()
      : data.subarray(1).toString("latin1");
    channels.set(channel, (channels.get(channel) ?? "") + text);
  });
  const [code] = (await once(socket, "close")) as [number];
  return { channels, code };
}

t.test("exec over WebSocket gives input, both outputs and the exit code in each protocol", async (t) => {
  const server = await start(t);
  for (const protocol of [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "channel.k8s.io",
    "v4.base64.channel.k8s.io",
  ]) {
    const isBase64 = protocol.includes("base64");
    const url = server.execUrl({ containerId: "c", command: ["echo", "3"], ...all });
    const socket = new WebSocket(url, [protocol]);
    const end = heard(socket, isBase64);
    await once(socket, "open");
    t.equal(socket.protocol, protocol);
    socket.send(isBase64 ? `0${Buffer.from("hello\n").toString("base64")}` : Buffer.from("\0hello\n"));
    const { channels, code } = await end;
    t.equal(channels.get(1), "HELLO\n");
    t.equal(channels.get(2), "terminal false");
    t.equal(code, 1000);
    if (protocol.startsWith("v")) {
      t.match(JSON.parse(channels.get(3)!), {
        status: "Failure",
        reason: "NonZeroExitCode",
        details: { causes: [{ reason: "ExitCode", message: "3" }] },
      });
    } else t.match(channels.get(3), /exit status 3/);
  }
});

t.test("v5 ends the input by a message, sizes of the terminal arrive, and a failure is told", async (t) => {
  const server = await start(t);
  const closing = new WebSocket(server.execUrl({ containerId: "c", command: ["echo"], ...all }), [
    "v5.channel.k8s.io",
  ]);
  const closed = heard(closing);
  await once(closing, "open");
  closing.send(Buffer.of(255, 0));
  t.match(JSON.parse((await closed).channels.get(3)!), { status: "Success" });

  const sizing = new WebSocket(
    server.execUrl({
      containerId: "c",
      command: ["size"],
      isTerminal: true,
      stdin: true,
      stdout: true,
      stderr: false,
    }),
    ["v4.channel.k8s.io"],
  );
  const sized = heard(sizing);
  await once(sizing, "open");
  for (const text of ['\x04{"Width":80,', '\x04"Height":24}junk}', '\x04{"Width":1,"Height":2}'])
    sizing.send(Buffer.from(text));
  t.equal((await sized).channels.get(1), "80x241x2");

  const failing = new WebSocket(server.execUrl({ containerId: "none", command: ["x"], ...all }), [
    "v4.channel.k8s.io",
  ]);
  t.match(JSON.parse((await heard(failing)).channels.get(3)!), {
    status: "Failure",
    reason: "InternalError",
    message: /none/,
  });
});

t.test("a client that reads slowly gets everything", async (t) => {
  const server = await start(t);
  const socket = new WebSocket(server.execUrl({ containerId: "c", command: ["flood"], ...all }), [
    "v4.channel.k8s.io",
  ]);
  const end = heard(socket);
  await once(socket, "open");
  socket.pause();
  setTimeout(() => socket.resume(), 200);
  t.equal((await end).channels.get(1)!.length, 6_400_000);
});

t.test("port-forward over WebSocket begins each channel with the port, and tells what failed", async (t) => {
  const server = await start(t);
  const socket = new WebSocket(server.forwardPortUrl({ podId: "p", ports: [80, 9] }), ["v4.channel.k8s.io"]);
  const end = heard(socket);
  await once(socket, "open");
  socket.send(Buffer.from("\0ping\n"));
  const { channels } = await end;
  t.equal(channels.get(0), "\x50\x0080:ping\n");
  t.equal(channels.get(1), "\x50\x00");
  t.ok(channels.get(3)!.startsWith("\t\x00error forwarding port 9 to pod p: "));
  t.match(channels.get(3), /nobody listens/);
});

t.test("a URL counts once, for its kind, and is refused for strangers' protocols", async (t) => {
  const server = await start(t);
  const url = server.execUrl({ containerId: "c", command: ["echo"], ...all });
  const statusOf = async (address: string, protocols: string[]): Promise<number> => {
    const socket = new WebSocket(address, protocols);
    return await new Promise((resolve, reject) => {
      socket.once("unexpected-response", (_request, response) => resolve(response.statusCode!));
      socket.once("open", () => resolve(101));
      socket.once("error", reject);
    });
  };
  const protocols = ["v4.channel.k8s.io"];
  t.equal(await statusOf(url.replace("/exec/", "/attach/"), protocols), 404);
  t.equal(await statusOf(url, protocols), 404, "it was spent on the wrong kind");
  t.equal(await statusOf(`${url.slice(0, -4)}0000`, protocols), 404);
  const other = server.execUrl({ containerId: "c", command: ["echo"], ...all });
  t.equal(await statusOf(other, ["v9.channel.k8s.io"]), 403);
  t.throws(() => server.execUrl({ containerId: "", command: [], ...all }), {
    message: "missing required container_id",
  });
  t.throws(() => server.attachUrl({ containerId: "c", ...all, isTerminal: true }), {
    message: /tty and stderr/,
  });
  for (let index = 0; index < 1000; index += 1) server.forwardPortUrl({ podId: "p", ports: [1] });
  t.throws(() => server.forwardPortUrl({ podId: "p", ports: [1] }), {
    message: /at most 1000/,
    reason: "streams-waiting-max",
  });
});

/** The client's side of SPDY, as far as a test needs it. */
class SpdyClient {
  readonly codec = new HeaderCodec();
  readonly said = new Map<number, string>();
  readonly ended = new Set<number>();
  readonly resets: number[] = [];
  #next = 1;

  constructor(
    readonly socket: Socket,
    readonly protocol: string,
  ) {
    const reader = new FrameReader();
    socket.on("data", (bytes: Buffer) => {
      for (const frame of reader.push(bytes)) this.#take(frame);
    });
  }

  static async connect(url: string, protocols: string[]): Promise<SpdyClient> {
    const request = httpRequest(url, {
      method: "POST",
      headers: { connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": protocols },
    });
    request.end();
    const [response, socket] = (await once(request, "upgrade")) as [
      { headers: Record<string, string> },
      Socket,
    ];
    return new SpdyClient(socket, response.headers["x-stream-protocol-version"]!);
  }

  async open(headers: Record<string, string>): Promise<number> {
    const id = this.#next;
    this.#next += 2;
    const start = Buffer.alloc(10);
    start.writeUInt32BE(id);
    const block = await this.codec.encode(new Map(Object.entries(headers)));
    this.socket.write(controlFrame(1, 0, Buffer.concat([start, block])));
    return id;
  }

  #take(frame: Frame): void {
    if (frame.kind === "data") {
      this.said.set(frame.stream, (this.said.get(frame.stream) ?? "") + frame.bytes.toString("latin1"));
      if (frame.isLast) this.ended.add(frame.stream);
    } else if (frame.type === 3) this.resets.push(frame.bytes.readUInt32BE());
  }
}

t.test("exec over SPDY gives input, both outputs and the exit code", async (t) => {
  const server = await start(t);
  const url = server.execUrl({ containerId: "c", command: ["echo", "5"], ...all });
  const client = await SpdyClient.connect(url, ["v4.channel.k8s.io", "v3.channel.k8s.io"]);
  t.equal(client.protocol, "v4.channel.k8s.io");
  const ids: Record<string, number> = {};
  for (const type of ["error", "stdin", "stdout", "stderr"])
    ids[type] = await client.open({ streamType: type });
  const odd = await client.open({ streamType: "other" });
  client.socket.write(dataFrame(ids["stdin"]!, Buffer.from("hello"), false));
  client.socket.write(dataFrame(ids["stdin"]!, Buffer.from(" there\n"), true));
  await once(client.socket, "close");
  t.equal(client.said.get(ids["stdout"]!), "HELLO THERE\n");
  t.equal(client.said.get(ids["stderr"]!), "terminal false");
  t.match(JSON.parse(client.said.get(ids["error"]!)!), {
    reason: "NonZeroExitCode",
    details: { causes: [{ message: "5" }] },
  });
  t.ok(client.ended.has(ids["stdout"]!));
  t.ok(client.resets.includes(odd));
});

t.test("port-forward over SPDY pairs streams by their request id", async (t) => {
  const server = await start(t);
  const client = await SpdyClient.connect(server.forwardPortUrl({ podId: "p", ports: [] }), [
    "portforward.k8s.io",
  ]);
  const pairs: number[] = [];
  for (const [requestID, port] of [
    ["0", "80"],
    ["1", "81"],
    ["2", "9"],
  ] as const) {
    const error = await client.open({ streamType: "error", port, requestID });
    client.socket.write(dataFrame(error, Buffer.alloc(0), true));
    pairs.push(await client.open({ streamType: "data", port, requestID }));
  }
  for (const id of pairs) client.socket.write(dataFrame(id, Buffer.from("ping\n"), false));
  while (client.ended.size < 6) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(client.said.get(pairs[0]!), "80:ping\n");
  t.equal(client.said.get(pairs[1]!), "81:ping\n");
  t.match(client.said.get(pairs[2]! - 2), /error forwarding port 9 to pod p/);
  client.socket.destroy();
});

t.test("hostile SPDY frames end their connection and nothing else", async (t) => {
  const server = await start(t);
  const start8 = Buffer.alloc(10);
  start8.writeUInt32BE(1);
  const bomb = await new HeaderCodec().encode(new Map([["a", "x".repeat(1024 * 1024)]]));
  const hostile: Record<string, Buffer> = {
    "an endless frame": Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]),
    "another version": Buffer.from([0x80, 9, 0, 1, 0, 0, 0, 0]),
    "headers that are no zlib": controlFrame(1, 0, Buffer.concat([start8, Buffer.alloc(50, 0xff)])),
    "headers that inflate to more": controlFrame(1, 0, Buffer.concat([start8, bomb])),
    "a cut SYN_STREAM": controlFrame(1, 0, Buffer.alloc(3)),
    "a cut reset": controlFrame(3, 0, Buffer.alloc(1)),
  };
  for (const [name, bytes] of Object.entries(hostile)) {
    const client = await SpdyClient.connect(server.execUrl({ containerId: "c", command: ["echo"], ...all }), [
      "v4.channel.k8s.io",
    ]);
    client.socket.on("error", () => undefined);
    client.socket.write(bytes);
    await once(client.socket, "close");
    t.pass(name);
  }
  const url = server.attachUrl({ containerId: "c", ...all });
  const socket = new WebSocket(url, ["v4.channel.k8s.io"]);
  t.equal((await heard(socket)).channels.get(1), "attached", "others are served");
});
