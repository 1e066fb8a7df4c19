import { mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { createServer, connect as netConnect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Images } from "../../gen/containerd/services/images/v1/images_pb.js";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { Node } from "../../gen/lazuli/v1/node_pb.js";
import { parseDigest } from "../../src/bytes/index.js";
import { invalidArgument, notFound } from "../../src/errors/index.js";
import {
  nanosecondsOf,
  nodeService,
  rpcError,
  serveGrpc,
  snapshotsService,
  timestampOf,
} from "../../src/services/index.js";
import { lazyRig, socketSnapshotter, socketTransport } from "../../testing/snapshotter-suite/index.js";

async function socketFor(t: { teardown: (run: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-grpc-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  return join(folder, "s");
}

t.test("rpcError() has the code and the words that containerd's clients look for", async (t) => {
  t.match(rpcError(notFound("snapshot does not exist")), {
    code: Code.NotFound,
    rawMessage: "snapshot does not exist: not found",
  });
  t.equal(rpcError(invalidArgument("x: invalid argument")).rawMessage, "x: invalid argument");
  t.equal(rpcError(new DOMException("gone", "AbortError")).code, Code.Canceled);
  t.match(rpcError(new Error("odd")), { code: Code.Unknown, rawMessage: "odd" });
});

t.test("timestampOf() keeps every nanosecond", async (t) => {
  t.same(timestampOf(1_700_000_000_123_456_789n), { seconds: 1_700_000_000n, nanos: 123_456_789 });
  t.same(timestampOf(-1n), { seconds: -1n, nanos: 999_999_999 });
  t.equal(nanosecondsOf(undefined), 0n);
});

t.test(
  "snapshotsService() answers with containerd's errors, in batches, and refuses unknown services",
  async (t) => {
    const rig = await lazyRig();
    const socketPath = await socketFor(t);
    const server = await serveGrpc({ socketPath, mode: 0o660, routes: [snapshotsService(rig.snapshotter)] });
    t.teardown(async () => {
      await server.close();
      await rig.dispose();
    });
    t.equal((await stat(socketPath)).mode & 0o777, 0o660);
    const client = createClient(Snapshots, socketTransport(socketPath));
    const missing = await client.stat({ key: "none" }).catch((thrown: unknown) => ConnectError.from(thrown));
    t.match(missing, { code: Code.NotFound, rawMessage: "snapshot does not exist: not found" });
    await t.rejects(client.update({}), { code: Code.InvalidArgument });
    await t.rejects(socketSnapshotter(socketPath).walk(["=="])[Symbol.asyncIterator]().next(), {
      code: "INVALID_ARGUMENT",
    });
    await Promise.all(
      Array.from({ length: 120 }, (_, index) =>
        client.view({ key: `view ${index}`, labels: { index: "x" } }),
      ),
    );
    const batches: number[] = [];
    for await (const batch of client.list({})) batches.push(batch.info.length);
    t.same(batches, [100, 20]);
    const images = createClient(Images, socketTransport(socketPath));
    await t.rejects(images.get({ name: "x" }), { code: Code.Unimplemented });
  },
);

t.test("serveGrpc() replaces a dead socket, and leaves a live one and other files alone", async (t) => {
  const socketPath = await socketFor(t);
  const first = await serveGrpc({ socketPath, mode: 0o600, routes: [] });
  await t.rejects(serveGrpc({ socketPath, mode: 0o600, routes: [] }), {
    code: "FAILED_PRECONDITION",
    reason: "socket-in-use",
  });
  await first.close();
  await first.close();
  await t.rejects(stat(socketPath), { code: "ENOENT" });
  const dead = createServer().listen(`${socketPath}-bound`);
  await new Promise((resolve) => dead.once("listening", resolve));
  await rename(`${socketPath}-bound`, socketPath);
  await new Promise((resolve) => dead.close(resolve));
  const second = await serveGrpc({ socketPath, mode: 0o600, routes: [] });
  t.equal((await stat(socketPath)).mode & 0o777, 0o600);
  await second.close();
  await writeFile(socketPath, "a file");
  await t.rejects(serveGrpc({ socketPath, mode: 0o600, routes: [] }), {
    code: "FAILED_PRECONDITION",
    reason: "socket-path-taken",
  });
  t.same(await readdir(join(socketPath, "..")), ["s"], "nothing else is left in the folder");
});

t.test("serveGrpc() answers the calls it has before it closes", async (t) => {
  const rig = await lazyRig();
  t.teardown(rig.dispose);
  const socketPath = await socketFor(t);
  const controller = new AbortController();
  const server = await serveGrpc({
    socketPath,
    mode: 0o600,
    routes: [snapshotsService(rig.snapshotter)],
    signal: controller.signal,
  });
  const idle = connect("http://localhost", { createConnection: () => netConnect(socketPath) });
  t.teardown(async () => idle.destroy());
  const client = createClient(Snapshots, socketTransport(socketPath));
  await client.prepare({ key: "before" });
  const call = client.prepare({ key: "during" });
  while (!rig.snapshotter.rows().some((row) => row.name === "during")) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  controller.abort();
  t.equal((await call).mounts.length, 1);
  await server.close();
  await t.rejects(stat(socketPath), { code: "ENOENT" });
});

t.test("nodeService() tells what is there and explains why a layer is lazy or not", async (t) => {
  const rig = await lazyRig();
  const { snapshotter, engine } = rig;
  const socketPath = await socketFor(t);
  const routes = [
    nodeService({
      version: "1.2.3",
      engine,
      snapshotter,
      ladder: [{ name: "erofs", usable: true, chosen: true, detail: "" }],
      counters: () => ({ lazuli_prepares_total: 2 }),
    }),
  ];
  const server = await serveGrpc({ socketPath, mode: 0o600, routes });
  t.teardown(async () => {
    await server.close();
    await rig.dispose();
  });
  const digest = parseDigest(`sha256:${"a".repeat(64)}`);
  const plain = parseDigest(`sha256:${"b".repeat(64)}`);
  const labels = (target: string, layer: string, reference: string) => ({
    "containerd.io/snapshot.ref": target,
    "containerd.io/snapshot/cri.image-ref": reference,
    "containerd.io/snapshot/cri.layer-digest": layer,
  });
  const lazyLabels = {
    ...labels("T1", digest, "host/base:1"),
    "containerd.io/snapshot/stargz/toc.digest": digest,
  };
  await t.rejects(snapshotter.prepare({ key: "default/1/e T1", parent: "", labels: lazyLabels }), {
    code: "ALREADY_EXISTS",
  });
  const key = "default/2/e T2";
  await snapshotter.prepare({ key, parent: "T1", labels: labels("T2", plain, "host/app:1") });
  await snapshotter.commit({ name: "default/3/T2", key, parent: "", labels: {} });
  await snapshotter.prepare({ key: "default/4/container", parent: "default/3/T2", labels: {} });
  const client = createClient(Node, socketTransport(socketPath));
  const status = await client.status({});
  t.match(status, {
    version: "1.2.3",
    ladder: [{ name: "erofs", chosen: true }],
    layers: [{ digest, cachedBytes: 4, fetchedBytes: 77 }],
    counters: { lazuli_prepares_total: 2 },
  });
  t.same(
    status.snapshots.map(({ name, kind, lazy, fallbackReason }) => ({ name, kind, lazy, fallbackReason })),
    [
      { name: "T1", kind: "committed", lazy: true, fallbackReason: "" },
      { name: "default/3/T2", kind: "committed", lazy: false, fallbackReason: "no-toc-digest" },
      { name: "default/4/container", kind: "active", lazy: false, fallbackReason: "" },
    ],
  );
  const both = [
    { snapshot: "T1", lazy: true, format: "estargz", fetchedBytes: 77, reference: "host/base:1" },
    { snapshot: "default/3/T2", lazy: false, reason: "no-toc-digest", layerDigest: plain, hint: /eStargz/ },
  ];
  for (const query of ["host/app:1", "container", "default/4/container"]) {
    t.match((await client.explain({ query })).layers, both, query);
  }
  t.match((await client.explain({ query: digest })).layers, [both[0]]);
  t.match((await client.explain({ query: "T2" })).layers, [both[1]]);
  await t.rejects(client.explain({ query: "host/other:1" }), { code: Code.NotFound });
});
