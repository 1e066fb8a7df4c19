import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Controller, Store } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.js";
import { notFound } from "../../src/errors/index.js";
import { createEventExchange } from "../../src/events/index.js";
import { openMetadata, SandboxTable } from "../../src/metadata/index.js";
import type { SandboxController } from "../../src/runtime/index.js";
import { sandboxControllerService, sandboxStoreService, serveGrpc } from "../../src/services/index.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const headers = { "containerd-namespace": "default" };
const spec = { typeUrl: "types.containerd.io/x", value: new Uint8Array([1, 2]) };
const sandbox = { sandboxId: "s", runtime: { name: "r", options: spec }, spec, sandboxer: "memory" };

/** A controller that keeps its sandboxes in memory. */
function memoryController(asked: unknown[]): SandboxController {
  const pids = new Map<string, number>();
  const pidOf = (id: string): number => {
    const pid = pids.get(id);
    if (pid === undefined) throw notFound(`sandbox ${id}`, { reason: "sandbox-missing" });
    return pid;
  };
  return {
    create: async (request) => {
      asked.push(request);
      pids.set(request.id, pids.size + 1);
    },
    start: async ({ id }) => ({
      pid: pidOf(id),
      createdAt: 5_000_000_007n,
      labels: { a: "1" },
      address: "unix:///a",
      version: 3,
      spec: { typeUrl: "started", value: new Uint8Array() },
    }),
    platform: async ({ id }) => ({ os: "linux", architecture: "amd64", variant: String(pidOf(id)) }),
    stop: async (request) => void asked.push(request),
    wait: async ({ id }) => ({ exitStatus: pidOf(id), exitedAt: 7_000_000_009n }),
    status: async ({ id, isVerbose }) => ({
      pid: pidOf(id),
      state: "SANDBOX_READY",
      info: isVerbose ? { more: "said" } : {},
      createdAt: 1n,
      exitedAt: undefined,
      extra: undefined,
      address: "",
      version: 0,
    }),
    shutdown: async ({ id }) => void pids.delete(String(pidOf(id) && id)),
    metrics: async ({ id }) => ({ id, timestamp: 3n, data: { typeUrl: "m", value: new Uint8Array([9]) } }),
    update: async (request) => void asked.push(request),
  };
}

async function rig(t: { teardown: (run: () => Promise<void>) => void }) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-sandboxes-"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n + 123n;
  const events = createEventExchange({ now });
  const asked: unknown[] = [];
  const controllers = new Map([["memory", memoryController(asked)]]);
  const server = await serveGrpc({
    socketPath: join(folder, "s"),
    mode: 0o600,
    routes: [
      sandboxStoreService(new SandboxTable({ metadata, now })),
      sandboxControllerService({ controllers, events }),
    ],
  });
  t.teardown(async () => {
    await server.close();
    await metadata.close();
    await rm(folder, { recursive: true });
  });
  const transport = socketTransport(join(folder, "s"));
  return {
    store: createClient(Store, transport),
    controller: createClient(Controller, transport),
    events,
    asked,
  };
}

const failure = async (call: Promise<unknown>): Promise<{ code: Code; rawMessage: string } | undefined> => {
  try {
    await call;
    return undefined;
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
};

t.test("sandboxStoreService() keeps records by namespace and says what is wrong with one", async (t) => {
  const { store } = await rig(t);
  const made = await store.create({ sandbox: { ...sandbox, labels: { a: "1" } } }, { headers });
  t.match(made.sandbox, { ...sandbox, labels: { a: "1" } });
  t.equal((made.sandbox?.createdAt?.nanos ?? 0) % 1_000_000, 123, "every nanosecond arrives");
  t.match(await failure(store.create({ sandbox }, { headers })), {
    code: Code.AlreadyExists,
    rawMessage: 'write error: sandbox bucket "s" already exists: already exists',
  });
  t.match(await failure(store.create({}, { headers })), { code: Code.InvalidArgument });
  const updated = await store.update(
    { sandbox: { sandboxId: "s", extensions: { e: spec } }, fields: ["extensions.e"] },
    { headers },
  );
  t.match(updated.sandbox, { labels: { a: "1" }, extensions: { e: spec } });
  t.equal((await store.list({ filters: ["labels.a==1"] }, { headers })).list.length, 1);
  t.equal((await store.list({ filters: ["labels.a==2"] }, { headers })).list.length, 0);
  t.same((await store.list({}, { headers: { "containerd-namespace": "other" } })).list, []);
  await store.delete({ sandboxId: "s" }, { headers });
  t.match(await failure(store.get({ sandboxId: "s" }, { headers })), {
    code: Code.NotFound,
    rawMessage: 'bucket "s" not found: not found',
  });
});

t.test("sandboxControllerService() asks the controller that a request names and tells events", async (t) => {
  const { controller, events, asked } = await rig(t);
  const ending = new AbortController();
  const topics: string[] = [];
  const listening = (async () => {
    for await (const { topic } of events.subscribe([], { signal: ending.signal })) topics.push(topic);
  })();
  const name = { sandboxId: "s", sandboxer: "memory" };
  const created = await controller.create(
    { ...name, sandbox, netnsPath: "/n", annotations: { k: "v" }, rootfs: [{ type: "bind" }] },
    { headers },
  );
  t.equal(created.sandboxId, "s");
  t.match(asked.pop(), {
    namespace: "default",
    id: "s",
    sandbox: { id: "s", runtime: { name: "r" }, spec: { typeUrl: spec.typeUrl } },
    netnsPath: "/n",
    annotations: { k: "v" },
    rootfs: [{ type: "bind" }],
  });
  t.match(await controller.start(name, { headers }), {
    sandboxId: "s",
    pid: 1,
    createdAt: { seconds: 5n, nanos: 7 },
    labels: { a: "1" },
    address: "unix:///a",
    version: 3,
    spec: { typeUrl: "started" },
  });
  const { platform } = await controller.platform(name, { headers });
  t.match(platform, { os: "linux", architecture: "amd64", variant: "1" });
  const status = await controller.status({ ...name, verbose: true }, { headers });
  t.match(status, { pid: 1, state: "SANDBOX_READY", info: { more: "said" }, createdAt: { nanos: 1 } });
  t.equal(status.exitedAt, undefined);
  t.match((await controller.metrics(name, { headers })).metrics, { id: "s", data: { typeUrl: "m" } });
  await controller.update({ ...name, sandbox, fields: ["labels"] }, { headers });
  t.match(asked.pop(), { id: "s", fields: ["labels"] });
  await controller.stop({ ...name, timeoutSecs: 3 }, { headers });
  t.match(asked.pop(), { id: "s", timeoutMs: 3000 });
  t.match(await controller.wait(name, { headers }), { exitStatus: 1, exitedAt: { seconds: 7n, nanos: 9 } });
  await controller.shutdown(name, { headers });
  t.match(await failure(controller.start(name, { headers })), {
    code: Code.NotFound,
    rawMessage: "sandbox s: not found",
  });
  ending.abort();
  await listening;
  t.same(topics, ["/sandboxes/create", "/sandboxes/start", "/sandboxes/exit"]);
});

t.test(
  "sandboxControllerService() refuses names that no controller has, in containerd's words",
  async (t) => {
    const { controller } = await rig(t);
    t.match(await failure(controller.start({ sandboxId: "s" }, { headers })), {
      code: Code.InvalidArgument,
      rawMessage: "invalid argument: sandbox controller name can not be empty",
    });
    t.match(await failure(controller.stop({ sandboxId: "s", sandboxer: "other" }, { headers })), {
      code: Code.NotFound,
      rawMessage: "not found: failed to get sandbox controller by other",
    });
  },
);
