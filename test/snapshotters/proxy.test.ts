import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ServerHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, type ConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import t, { type Test } from "tap";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { delay } from "../../src/async/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { type GrpcServer, serveGrpc } from "../../src/services/index.js";
import { createProxySnapshotter, type ProxySnapshotterOptions } from "../../src/snapshotters/index.js";

type Impl = Partial<ServiceImpl<typeof Snapshots>>;

/** A place for a socket, with what makes servers and clients of it; all end with the test. */
async function rig(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-proxy-"));
  const address = join(folder, "s");
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return {
    address,
    client: (options: Partial<ProxySnapshotterOptions> = {}) => {
      const snapshotter = createProxySnapshotter({ address, name: "theirs", ...options });
      t.teardown(() => snapshotter.close());
      return snapshotter;
    },
    serve: async (impl: Impl, ...more: ((router: ConnectRouter) => void)[]): Promise<GrpcServer> => {
      const routes = [(router: ConnectRouter) => void router.service(Snapshots, impl), ...more];
      const server = await serveGrpc({ socketPath: address, mode: 0o600, routes, closeTimeoutMs: 100 });
      t.teardown(() => server.close());
      return server;
    },
  };
}

async function all<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const found: Value[] = [];
  for await (const value of values) found.push(value);
  return found;
}

const bare = { key: "k", parent: "", labels: {} };

t.test(
  "createProxySnapshotter() names the snapshotter in each request, and says whose call it is",
  async (t) => {
    const { client, serve } = await rig(t);
    const seen: string[] = [];
    const note = (request: { snapshotter: string }, headers: Headers): void => {
      const { snapshotter } = request;
      seen.push(`${snapshotter} ${headers.get("containerd-namespace")} ${headers.get("containerd-lease")}`);
    };
    const mounts = [{ type: "bind", source: "/s", target: "", options: ["rw"] }];
    const info = {
      name: "k",
      parent: "p",
      kind: 9,
      labels: { a: "b" },
      createdAt: { seconds: 1n, nanos: 5 },
    };
    await serve({
      prepare: (request, { requestHeader }) => {
        note(request, requestHeader);
        return { mounts };
      },
      view: (request, { requestHeader }) => {
        note(request, requestHeader);
        return { mounts };
      },
      mounts: (request, { requestHeader }) => {
        note(request, requestHeader);
        return { mounts };
      },
      commit: (request, { requestHeader }) => {
        note(request, requestHeader);
        t.match(request, { name: "n", key: "k", parent: "onto", labels: { x: "y" } });
        return {};
      },
      remove: (request, { requestHeader }) => {
        note(request, requestHeader);
        return {};
      },
      stat: (request, { requestHeader }) => {
        note(request, requestHeader);
        return { info };
      },
      update: (request, { requestHeader }) => {
        note(request, requestHeader);
        t.same(request.updateMask?.paths, ["labels.a"]);
        return { info };
      },
      usage: (request, { requestHeader }) => {
        note(request, requestHeader);
        return { size: 2n ** 40n, inodes: 3n };
      },
      list: async function* (request, { requestHeader }) {
        note(request, requestHeader);
        t.same(request.filters, ["kind==view"]);
        yield { info: [info, info] };
        yield { info: [info] };
      },
    });
    let context: { namespace?: string; lease?: string } = { namespace: "n1", lease: "l1" };
    const snapshotter = client({ context: () => context });
    const request = { key: "k", parent: "", labels: { x: "y" } };
    t.same(await snapshotter.prepare(request), mounts);
    t.same(await snapshotter.view(request), mounts);
    t.same(await snapshotter.mounts("k"), mounts);
    await snapshotter.commit({ name: "n", key: "k", parent: "onto", labels: { x: "y" } });
    await snapshotter.remove("n");
    const wanted = {
      name: "k",
      parent: "p",
      kind: "committed",
      labels: { a: "b" },
      createdAt: 1_000_000_005n,
    };
    t.same(
      await snapshotter.stat("k"),
      { ...wanted, updatedAt: 0n },
      "a kind that is not known is committed",
    );
    t.match(await snapshotter.update({ name: "k", labels: {}, fieldPaths: ["labels.a"] }), wanted);
    t.same(await snapshotter.usage("k"), { size: 2 ** 40, inodes: 3 });
    t.equal((await all(snapshotter.walk(["kind==view"]))).length, 3);
    t.same(seen, Array(9).fill("theirs n1 l1"));
    context = {};
    await snapshotter.stat("k");
    t.equal(seen.at(-1), "theirs null null");
    await snapshotter.cleanup();
    t.pass("a snapshotter that cleans up nothing is none that fails");
    await snapshotter.close();
    await snapshotter.close();
    await t.rejects(snapshotter.stat("k"), { code: "FAILED_PRECONDITION", reason: "snapshotter-closed" });
  },
);

t.test("createProxySnapshotter() throws the other side's errors with their codes and texts", async (t) => {
  const { client, serve } = await rig(t);
  const failures: Readonly<Record<string, [Code, string]>> = {
    NOT_FOUND: [Code.NotFound, "snapshot does not exist: not found"],
    ALREADY_EXISTS: [Code.AlreadyExists, 'target snapshot "x": already exists'],
    FAILED_PRECONDITION: [Code.FailedPrecondition, "cannot remove snapshot with child: failed precondition"],
    INVALID_ARGUMENT: [Code.InvalidArgument, "snapshotter not loaded: theirs: invalid argument"],
    UNIMPLEMENTED: [Code.Unimplemented, "not implemented"],
    UNAVAILABLE: [Code.Unavailable, "the disk is away: unavailable"],
    UNKNOWN: [Code.Unknown, "something"],
  };
  await serve({
    prepare: ({ key }) => {
      throw new ConnectError(failures[key]![1], failures[key]![0]);
    },
    // biome-ignore lint/correctness/useYield: a stream that fails before its first message
    list: async function* () {
      throw new ConnectError("no list: not found", Code.NotFound);
    },
    stat: () => ({}),
  });
  const snapshotter = client();
  for (const [code, [, text]] of Object.entries(failures)) {
    const error = await snapshotter.prepare({ ...bare, key: code }).catch(LazuliError.from);
    if (!(error instanceof LazuliError)) throw new Error("it did not fail");
    t.match(error, { code, subject: code, reason: `snapshotter-${code.toLowerCase().replaceAll("_", "-")}` });
    t.equal(
      error.message,
      text.replace(/: (not found|already exists|failed precondition|invalid argument|unavailable)$/, ""),
    );
  }
  await t.rejects(all(snapshotter.walk([])), { code: "NOT_FOUND", message: "no list" });
  await t.rejects(snapshotter.stat("k"), { code: "DATA_LOSS" });
});

t.test(
  "createProxySnapshotter() waits for a server that starts anew, and tells when there is none",
  async (t) => {
    const { client, serve, address } = await rig(t);
    const impl: Impl = { usage: () => ({ size: 1n, inodes: 1n }) };
    const first = await serve(impl);
    const snapshotter = client();
    await snapshotter.usage("k");
    await first.close();
    const calls = Promise.all([snapshotter.usage("k"), snapshotter.usage("k")]);
    await delay(50);
    await serve(impl);
    await calls;
    t.pass("both calls were answered by the second server");
    const impatient = createProxySnapshotter({ address: `${address}-none`, name: "x", connectTimeoutMs: 60 });
    for (const call of [() => impatient.prepare(bare), () => all(impatient.walk([]))]) {
      await t.rejects(async () => void (await call()), {
        code: "UNAVAILABLE",
        reason: "snapshotter-unreachable",
        hint: /Start the snapshotter/,
      });
    }
    await impatient.close();
  },
);

t.test("createProxySnapshotter() ends calls that are not answered", async (t) => {
  const { client, serve } = await rig(t);
  const hang = (_request: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<never>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  await serve({ prepare: hang, mounts: hang });
  await t.rejects(client({ callTimeoutMs: 50 }).prepare(bare), {
    code: "DEADLINE_EXCEEDED",
    reason: "snapshotter-slow",
    hint: /.+/,
  });
  const ending = new AbortController();
  const call = client().prepare({ ...bare, signal: ending.signal });
  setTimeout(() => ending.abort(), 20);
  await t.rejects(call, { code: "CANCELED" });
  await t.rejects(client().mounts("k", { signal: ending.signal }), { code: "CANCELED" });
});

t.test("createProxySnapshotter() repeats only what changes nothing when the connection breaks", async (t) => {
  const { client, address } = await rig(t);
  const calls: string[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const breakOnce = (method: string): void => {
    calls.push(method);
    if (calls.filter((call) => call === method).length > 1) return;
    for (const session of sessions) session.destroy();
  };
  const impl: Impl = {
    usage: async () => {
      breakOnce("usage");
      return { size: 7n, inodes: 1n };
    },
    remove: async () => {
      breakOnce("remove");
      return {};
    },
  };
  const server = createServer(
    connectNodeAdapter({ routes: (router) => void router.service(Snapshots, impl) }),
  );
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.listen(address);
  await once(server, "listening");
  t.teardown(() => server.close());
  const snapshotter = client();
  t.equal((await snapshotter.usage("k")).size, 7);
  await t.rejects(snapshotter.remove("k"), { code: "UNAVAILABLE", reason: "snapshotter-unreachable" });
  t.same(calls, ["usage", "usage", "remove"]);
  await snapshotter.close();
});

t.test("createProxySnapshotter() puts further labels on every snapshot and does not show them", async (t) => {
  const { client, serve } = await rig(t);
  const stored: Record<string, string>[] = [];
  await serve({
    prepare: ({ labels }) => {
      stored.push(labels);
      return { mounts: [] };
    },
    commit: ({ labels }) => {
      stored.push(labels);
      return {};
    },
    update: ({ info }) => {
      stored.push(info!.labels);
      return { info: info! };
    },
  });
  const snapshotter = client({ addedLabels: { "containerd.io/gc.root": "lazuli" } });
  const labels = { own: "1" };
  await snapshotter.prepare({ ...bare, labels });
  await snapshotter.commit({ name: "n", key: "k", parent: "", labels });
  t.same((await snapshotter.update({ name: "n", labels, fieldPaths: [] })).labels, labels);
  t.same(stored, Array(3).fill({ own: "1", "containerd.io/gc.root": "lazuli" }));
});

t.test(
  "checkHealth() asks the health service where there is one, and for the snapshotter's name",
  async (t) => {
    const health = (status: HealthCheckResponse_ServingStatus) => (router: ConnectRouter) =>
      void router.service(Health, { check: () => ({ status }) });
    const missing = (): never => {
      throw new ConnectError("snapshot does not exist: not found", Code.NotFound);
    };
    const check = async (impl: Impl, ...more: ((router: ConnectRouter) => void)[]): Promise<void> => {
      const { client, serve } = await rig(t);
      await serve(impl, ...more);
      await client().checkHealth();
    };
    await check({ stat: missing });
    await check({ stat: missing }, health(HealthCheckResponse_ServingStatus.SERVING));
    t.pass("a plugin serves with and without a health service");
    await t.rejects(check({ stat: missing }, health(HealthCheckResponse_ServingStatus.NOT_SERVING)), {
      code: "UNAVAILABLE",
      reason: "snapshotter-not-serving",
    });
    await t.rejects(check({}), { code: "UNIMPLEMENTED", hint: /is the socket of a snapshotter/ });
    const unknownName = (): never => {
      throw new ConnectError("snapshotter not loaded: theirs: invalid argument", Code.InvalidArgument);
    };
    await t.rejects(check({ stat: unknownName }), { code: "INVALID_ARGUMENT" });
    const { client } = await rig(t);
    await t.rejects(client({ connectTimeoutMs: 30 }).checkHealth(), { code: "UNAVAILABLE" });
  },
);

t.test("createProxySnapshotter() refuses an empty name", async (t) => {
  t.throws(() => createProxySnapshotter({ address: "/x", name: "" }), /want a name/);
});
