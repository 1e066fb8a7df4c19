import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.js";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { Controller } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.js";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.js";
import { parseDigest, sha256 } from "../../src/bytes/index.js";
import { proxyContentStore } from "../../src/content/index.js";
import { readConfig } from "../../src/daemon/index.js";
import { notFound } from "../../src/errors/index.js";
import { createEventExchange } from "../../src/events/index.js";
import type { SandboxController } from "../../src/runtime/index.js";
import { sandboxControllerService, serveGrpc } from "../../src/services/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";
import { rawTar } from "../../testing/tar/index.js";

const headers = { "containerd-namespace": "default" };
const LAYER = "application/vnd.oci.image.layer.v1.tar";

async function folderFor(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-proxied-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  return folder;
}

function plugin(name: string, type: string, address: string, more = ""): string {
  return `[proxy_plugins.${name}]\ntype = "${type}"\naddress = "${address}"\n${more}\n`;
}

async function failure(work: Promise<unknown>): Promise<ConnectError> {
  return await work.then(
    () => new ConnectError("no failure", Code.Unknown),
    (thrown: unknown) => ConnectError.from(thrown),
  );
}

const bind = (source: string) => [{ type: "bind", source, target: "", options: ["rbind", "rw"] }];

t.test("content and layers are a containerd's, where the config plugs it in", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const peer = await startContainerd({ folder: join(folder, "peer") });
  cleanup.add(() => peer.stop());
  const namespace = 'namespace = "below"';
  const config = `[diff]\ndefault = ["far"]\n${plugin("far", "diff", peer.address, namespace)}${plugin(
    "kept",
    "io.containerd.content.v1",
    peer.address,
    namespace,
  )}`;
  const daemon = await startDaemon({ folder: join(folder, "daemon"), config });
  cleanup.add(() => daemon.stop());

  const bytes = rawTar({ name: "etc/", type: "5" }, { name: "etc/file", content: "text" });
  const expected = sha256(bytes);
  await using store = proxyContentStore({ socketPath: daemon.address, namespace: "default" });
  const writer = await store.writer({ ref: "layer", total: bytes.length, expected });
  await writer.write(bytes);
  await writer.commit({ size: bytes.length, expected, labels: { own: "1" } });
  await using below = proxyContentStore({ socketPath: peer.address, namespace: "below" });
  t.match(await below.info(expected), { size: bytes.length, labels: { "containerd.io/gc.root": "lazuli" } });
  const { labels } = await store.info(expected);
  t.equal(labels.own, "1");
  await using reader = await store.open(expected);
  t.same(Buffer.from(await reader.read(0, bytes.length)), bytes);

  const [tree, empty] = [join(folder, "tree"), join(folder, "empty")];
  for (const path of [tree, empty]) await mkdir(path);
  const diff = createClient(Diff, socketTransport(daemon.address));
  const layer = { mediaType: LAYER, digest: expected, size: BigInt(bytes.length) };
  const { applied } = await diff.apply({ diff: layer, mounts: bind(tree) }, { headers });
  t.equal(applied?.digest, expected);
  t.equal(await readFile(join(tree, "etc/file"), "utf8"), "text");
  await writeFile(join(tree, "etc/new"), "more");
  const request = { left: bind(empty), right: bind(tree), mediaType: LAYER, ref: "made" };
  const made = parseDigest((await diff.diff(request, { headers })).diff!.digest);
  t.ok((await store.info(made)).size > 0, "the layer is the caller's");
  t.ok((await below.info(made)).size > 0);

  const { plugins } = await createClient(Introspection, socketTransport(daemon.address)).plugins({});
  t.match(
    plugins.filter(({ type }) => /content\.v1$|differ/.test(type)).map(({ type, id }) => `${type}.${id}`),
    ["io.containerd.content.v1.kept", "io.containerd.differ.v1.walking", "io.containerd.differ.v1.far"],
  );
});

/** A controller that has started whatever it is asked for. */
function answering(
  seen: unknown[],
): Pick<SandboxController, "create" | "start" | "wait" | "status" | "stop"> {
  return {
    create: async (request) => void seen.push(request),
    start: async ({ id }) => {
      if (id === "missing") throw notFound("sandbox missing", { reason: "sandbox-missing" });
      return { pid: 7, createdAt: 5n, labels: { a: "1" }, address: "/a", version: 3, spec: undefined };
    },
    wait: async () => ({ exitStatus: 9, exitedAt: 11n }),
    stop: async (request) => void seen.push(request),
    status: async () => ({
      pid: 7,
      state: "SANDBOX_READY",
      info: { more: "said" },
      createdAt: 5n,
      exitedAt: undefined,
      extra: { typeUrl: "t", value: new Uint8Array([1]) },
      address: "/a",
      version: 3,
    }),
  };
}

t.test("sandboxes are run by the controller that a client names", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const socketPath = join(folder, "controller.sock");
  const seen: unknown[] = [];
  const controllers = new Map([["far", answering(seen) as SandboxController]]);
  const events = createEventExchange({ now: () => 1n });
  const peer = await serveGrpc({
    socketPath,
    mode: 0o600,
    routes: [sandboxControllerService({ controllers, events })],
  });
  cleanup.add(() => peer.close());
  const daemon = await startDaemon({
    folder: join(folder, "d"),
    config: plugin("far", "sandbox", socketPath),
  });
  cleanup.add(() => daemon.stop());
  const client = createClient(Controller, socketTransport(daemon.address));
  const named = { sandboxId: "s", sandboxer: "far" };
  const spec = { typeUrl: "spec", value: new Uint8Array([4]) };
  const sandbox = { sandboxId: "s", runtime: { name: "r", options: spec }, spec, labels: { l: "2" } };
  const more = { rootfs: bind("/x"), netnsPath: "/net", annotations: { n: "3" }, options: spec };
  await client.create({ ...named, sandbox, ...more }, { headers });
  t.match(seen, [
    {
      namespace: "default",
      id: "s",
      netnsPath: "/net",
      annotations: { n: "3" },
      rootfs: [{ source: "/x" }],
      options: { typeUrl: "spec" },
      sandbox: { id: "s", runtime: { name: "r" }, labels: { l: "2" }, spec: { typeUrl: "spec" } },
    },
  ]);
  t.match(await client.start(named, { headers }), { pid: 7, labels: { a: "1" }, address: "/a", version: 3 });
  t.match(await client.wait(named, { headers }), { exitStatus: 9 });
  t.match(await client.status({ ...named, verbose: true }, { headers }), {
    state: "SANDBOX_READY",
    info: { more: "said" },
    extra: { typeUrl: "t" },
  });
  await client.stop({ ...named, timeoutSecs: 3 }, { headers });
  t.match(seen[1], { id: "s", timeoutMs: 3000 });
  t.match(await failure(client.start({ ...named, sandboxId: "missing" }, { headers })), {
    code: Code.NotFound,
    rawMessage: "sandbox missing: not found",
  });
  t.match(await failure(client.start({ ...named, sandboxer: "other" }, { headers })), {
    code: Code.NotFound,
  });
});

t.test("a peer that hangs fails its calls in time, and nothing else", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const socketPath = join(folder, "hung.sock");
  const sockets: Socket[] = [];
  const hung = createServer((socket) => void sockets.push(socket.on("error", () => undefined)));
  await new Promise<void>((resolve) => hung.listen(socketPath, resolve));
  cleanup.add(() => new Promise<void>((resolve) => hung.close(() => resolve())));
  cleanup.add(async () => {
    for (const socket of sockets) socket.destroy();
  });
  const waits = 'call_timeout = "300ms"\nconnect_timeout = "300ms"';
  const config = `[diff]\ndefault = ["diff", "walking"]\n${["content", "diff", "sandbox"]
    .map((type) => plugin(type, type, socketPath, waits))
    .join("")}`;
  const daemon = await startDaemon({ folder: join(folder, "d"), config });
  cleanup.add(() => daemon.stop());
  const transport = socketTransport(daemon.address);
  await using store = proxyContentStore({ socketPath: daemon.address, namespace: "default" });
  const expected = sha256(Buffer.from("x"));
  await t.rejects(store.writer({ ref: "r", total: 1, expected }), { code: "DEADLINE_EXCEEDED" });
  const named = { sandboxId: "s", sandboxer: "sandbox" };
  t.match(await failure(createClient(Controller, transport).start(named, { headers })), {
    code: Code.DeadlineExceeded,
    rawMessage: /Cannot start a sandbox: want an answer from .*hung\.sock in time, got none/,
  });
  const trees = { left: bind(folder), right: bind(folder), ref: "r" };
  t.match(await failure(createClient(Diff, transport).diff(trees, { headers })), {
    code: Code.DeadlineExceeded,
  });
  t.ok((await createClient(Version, transport).version({})).version);
  t.same(
    (await createClient(Introspection, transport).plugins({})).plugins.filter(({ initErr }) => initErr),
    [],
  );
});

t.test("readConfig() refuses plugins that do not fit together", async (t) => {
  const problem = (text: string, what: RegExp): void =>
    void t.throws(() => readConfig({ text }), { message: what });
  problem(
    plugin("a", "content", "/a") + plugin("b", "content", "/b"),
    /only one plugin can be of type "content"/,
  );
  problem(plugin("walking", "diff", "/a"), /has the name of lazuli's own differ/);
  problem(plugin("shim", "sandbox", "/a"), /own sandbox controllers/);
  problem('[diff]\ndefault = ["other"]', /diff\.default: want names of walking, got "other"/);
  problem("[diff]\ndefault = []", /want one name at least/);
  const { diff } = readConfig({ text: `[diff]\ndefault = ["a", "walking"]\n${plugin("a", "diff", "/a")}` });
  t.same(diff.order, ["a", "walking"]);
});
