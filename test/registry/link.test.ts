import { execFile } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Pipe, startLink } from "../../src/bench/link/index.js";
import { makeRegistry, makeServer, readBlob, someBytes, type Teardown } from "./rig.js";

t.test("Pipe.arrivalMs() adds the delay once and the bandwidth for all bytes", async (t) => {
  const pipe = new Pipe({ delayMs: 10, bitsPerSecond: 8_000_000 });
  t.equal(pipe.arrivalMs(0, 1000), 11, "1000 bytes take 1 ms, then 10 ms of way");
  t.equal(pipe.arrivalMs(0, 1000), 12, "the next waits for the bandwidth only");
  t.equal(pipe.arrivalMs(100, 1000), 111, "an idle pipe saves nothing up");
  let last = 0;
  for (let index = 0; index < 10_000; index += 1) last = pipe.arrivalMs(200, 1);
  t.ok(Math.abs(last - 220) < 0.001, "10,000 small writes take as long as one of their size");
});

async function echoServer(t: Teardown): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return (server.address() as { port: number }).port;
}

// Lower bounds hold on any machine, however slow; there are no upper ones.
t.test("startLink() is never faster than its round trips", async (t) => {
  const port = await echoServer(t);
  const link = await startLink({ target: { host: "127.0.0.1", port }, rttMs: 30, bitsPerSecond: 1e9 });
  t.teardown(() => link.stop());
  const started = performance.now();
  const socket = connect(link.port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  socket.write("ping");
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  const elapsed = performance.now() - started;
  t.ok(elapsed >= 59, `opening and one exchange take two round trips, took ${elapsed.toFixed(1)} ms`);
  t.equal(link.bytesUp, 4);
  t.equal(link.bytesDown, 4);
});

t.test("startLink() carries the bytes of many connections unchanged and counts them", async (t) => {
  const server = await makeServer(t);
  const bytes = someBytes(1_500_000);
  const digest = server.addBlob(bytes);
  const link = await startLink({
    target: { host: "127.0.0.1", port: server.port },
    rttMs: 4,
    bitsPerSecond: 400e6,
  });
  t.teardown(() => link.stop());
  const registry = makeRegistry(t, { stallTimeoutMs: 10_000 });
  const read = { registry, host: `127.0.0.1:${link.port}`, digest, size: bytes.length };
  const started = performance.now();
  const all = await Promise.all([readBlob(read), readBlob(read), readBlob(read)]);
  const elapsed = performance.now() - started;
  t.ok(all.every((one) => one.equals(bytes)));
  t.ok(link.bytesDown > 3 * bytes.length);
  t.ok(elapsed >= (link.bytesDown * 8) / 400e3, "the bandwidth is shared");
});

t.test("startLink() keeps the order of late pieces and breaks connections as often as asked", async (t) => {
  const server = await makeServer(t);
  const bytes = someBytes(1_000_000);
  const digest = server.addBlob(bytes);
  const link = await startLink({
    target: { host: "127.0.0.1", port: server.port },
    rttMs: 2,
    bitsPerSecond: 1e9,
    jitterMs: 5,
    breakEveryBytes: 400_000,
  });
  t.teardown(() => link.stop());
  const registry = makeRegistry(t, { stallTimeoutMs: 10_000 });
  const read = { registry, host: `127.0.0.1:${link.port}`, digest, size: bytes.length };
  t.ok((await readBlob(read)).equals(bytes), "the client asked again for what it missed");
  t.ok(link.broken >= 2, `${link.broken} connections were reset`);
});

t.test("startLink() passes on that nobody listens", async (t) => {
  const link = await startLink({ target: { host: "127.0.0.1", port: 1 }, rttMs: 2, bitsPerSecond: 1e9 });
  t.teardown(() => link.stop());
  const socket = connect(link.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write("ping");
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  t.ok(socket.destroyed);
});

t.test("the link runs as a process of its own", async (t) => {
  const port = await echoServer(t);
  const main = fileURLToPath(new URL("../../testing/link/main.js", import.meta.url));
  const words = [main, "--target", `127.0.0.1:${port}`, "--listen", "0", "--rtt-ms", "2", "--mbit", "400"];
  const child = execFile(process.execPath, words);
  t.teardown(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout?.on("data", (text: string) => {
    output += text;
  });
  while (!output.includes("\n")) await new Promise((resolve) => child.stdout?.once("data", resolve));
  const socket = connect((JSON.parse(output) as { port: number }).port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  socket.write("ping");
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  output = "";
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.kill("SIGTERM");
  await ended;
  t.same(JSON.parse(output), { bytesDown: 4, bytesUp: 4 });
});
