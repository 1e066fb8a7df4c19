import t from "tap";
import { requestChannel } from "../../src/registry/index.js";
import { errorOf, makeCertsDirectory, makeRegistry, makeServer, readBytes, someBytes } from "./rig.js";

const bytes = someBytes(300_000);
const size = bytes.length;

t.test("openBlob() with a known size asks nothing before the first read", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const registry = makeRegistry(t);
  const blob = await registry.openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  t.equal(blob.size, size);
  t.equal(blob.description, `${server.host}/a/b`);
  t.equal(server.log.length, 0, "no request yet");
  t.same(await readBytes(blob, { offset: size - 100, length: 100 }), bytes.subarray(size - 100));
  t.same(
    server.log.map((record) => [record.method, record.path, record.range, record.status]),
    [["GET", `/v2/a/b/blobs/${digest}`, `bytes=${size - 100}-${size - 1}`, 206]],
  );
  t.match(server.log[0]?.wire.toLowerCase(), /accept-encoding\nidentity/);
});

t.test("openBlob() without a size measures by HEAD, or by one byte where HEAD does not tell", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const registry = makeRegistry(t);
  const reference = `${server.host}/a/b:1`;
  t.equal((await registry.openBlob({ reference, digest })).size, size);
  t.same(
    server.log.map((record) => record.method),
    ["HEAD"],
  );
  server.script({ method: "HEAD", act: { status: 405 } });
  t.equal((await registry.openBlob({ reference, digest })).size, size);
  t.equal(server.log.at(-1)?.range, "bytes=0-0");
  const empty = server.addBlob(Buffer.alloc(0));
  const emptyBlob = await registry.openBlob({ reference, digest: empty });
  t.equal(emptyBlob.size, 0, "416 with a total of 0");
  t.same(await readBytes(emptyBlob, { offset: 0, length: 0 }), Buffer.alloc(0));
});

t.test("readRange() takes a broken body up where it stopped", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  server.script({ path: /blobs/, times: 3, act: { cutAfter: 70_000 } });
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  t.same(await readBytes(blob, { offset: 10, length: size - 10 }), bytes.subarray(10));
  const starts = server.log.map((record) => Number(/bytes=(\d+)/.exec(record.range ?? "")?.[1]));
  t.equal(starts.length, 4);
  t.ok(
    starts.every((start, index) => index === 0 || start > starts[index - 1]!),
    "each try starts further on",
  );
  t.ok(server.log.every((record) => record.range?.endsWith(`-${size - 1}`)));
});

t.test("readRange() destroys the body at once when its signal aborts", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  server.script({ path: /blobs/, act: { stallAfter: 1000 } });
  const registry = makeRegistry(t, { stallTimeoutMs: 60_000 });
  const blob = await registry.openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  const controller = new AbortController();
  const reason = new Error("enough");
  let got = 0;
  await t.rejects(
    async () => {
      for await (const piece of blob.readRange({ offset: 0, length: size, signal: controller.signal })) {
        got += piece.length;
        controller.abort(reason);
      }
    },
    reason,
    "ends with the reason of the signal",
  );
  t.equal(got, 1000);
  while (server.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  t.equal(server.connections, 0, "the connection is gone");
  t.equal(server.log.length, 1, "and nothing was tried again");
});

t.test("readRange() lets go of the connection when the reader stops early", async (t) => {
  const server = await makeServer(t);
  const large = someBytes(4_000_000, "large");
  const digest = server.addBlob(large);
  const registry = makeRegistry(t, { requestsPerHostMax: 1 });
  const blob = await registry.openBlob({ reference: `${server.host}/a/b:1`, digest, size: large.length });
  for await (const piece of blob.readRange({ offset: 0, length: large.length })) {
    t.ok(piece.length > 0);
    break;
  }
  t.same(
    await readBytes(blob, { offset: 5, length: 5 }),
    large.subarray(5, 10),
    "the only place is free again",
  );
});

t.test("readRange() of many ranges uses a connection again and again, and no more than it may", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const registry = makeRegistry(t, { requestsPerHostMax: 3 });
  const blob = await registry.openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  let most = 0;
  const reads = Array.from({ length: 60 }, async (_, index) => {
    const got = await readBytes(blob, { offset: index * 5000, length: 5000 });
    most = Math.max(most, server.connections);
    return got;
  });
  t.same(Buffer.concat(await Promise.all(reads)), bytes);
  t.ok(most <= 3, `${most} connections at once`);
  t.equal(server.log.length, 60);
});

t.test("readRange() one after the other uses one connection", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  for (let offset = 0; offset < 50_000; offset += 5000) await readBytes(blob, { offset, length: 5000 });
  t.equal(server.connections, 1);
});

t.test("readRange() refuses ranges outside of the blob without asking", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  t.equal((await errorOf(readBytes(blob, { offset: size - 1, length: 2 }))).reason, "range-outside");
  t.equal((await errorOf(readBytes(blob, { offset: -1, length: 2 }))).reason, "range-invalid");
  t.equal((await errorOf(readBytes(blob, { offset: 0, length: 1.5 }))).reason, "range-invalid");
  t.equal(server.log.length, 0);
});

t.test("distrust() moves the next read of the range to another host, and only that", async (t) => {
  const mirror = await makeServer(t);
  const origin = await makeServer(t);
  const digest = origin.addBlob(bytes);
  mirror.addBlob(bytes);
  mirror.script({ path: /blobs/, times: 1, act: { flipByte: 7 } });
  const toml = `server = "${origin.url}"\n[host."${mirror.url}"]\n`;
  const hostsDirectories = [await makeCertsDirectory(t, { "registry.test/hosts.toml": toml })];
  const registry = makeRegistry(t, { hostsDirectories });
  const blob = await registry.openBlob({ reference: "registry.test/a/b:1", digest, size });
  const wrong = await readBytes(blob, { offset: 100, length: 50 });
  t.notSame(wrong, bytes.subarray(100, 150), "the mirror lies");
  t.equal(origin.log.length, 0);
  blob.distrust({ offset: 100, length: 50 });
  t.same(await readBytes(blob, { offset: 100, length: 50 }), bytes.subarray(100, 150));
  t.equal(origin.log.length, 1, "from the registry itself");
  t.same(await readBytes(blob, { offset: 1000, length: 50 }), bytes.subarray(1000, 1050));
  t.equal(origin.log.length, 1, "other ranges still come from the mirror");
});

t.test("distrust() with one host asks it again, past caches", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  server.script({ path: /blobs/, times: 1, act: { flipByte: 0 } });
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  await readBytes(blob, { offset: 0, length: 10 });
  blob.distrust({ offset: 0, length: 10 });
  t.same(await readBytes(blob, { offset: 0, length: 10 }), bytes.subarray(0, 10));
  t.match(server.log[1]?.wire, /cache-control\nno-cache/);
});

t.test("requestChannel tells host, status, bytes and attempt of each request", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  server.script({ path: /blobs/, times: 1, act: { status: 503, body: "later" } });
  const seen: { host: string; status: number; bytes: number; attempt: number }[] = [];
  using _listener = requestChannel.subscribe(({ host, status, bytes: got, attempt }) => {
    seen.push({ host, status, bytes: got, attempt });
  });
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  await readBytes(blob, { offset: 0, length: 1000 });
  t.same(seen, [
    { host: server.host, status: 503, bytes: 5, attempt: 1 },
    { host: server.host, status: 206, bytes: 1000, attempt: 2 },
  ]);
});
