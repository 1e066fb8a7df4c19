import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { NamespaceCreateSchema } from "../../gen/containerd/events/namespace_pb.js";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.js";
import { Images } from "../../gen/containerd/services/images/v1/images_pb.js";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { Namespaces } from "../../gen/containerd/services/namespaces/v1/namespace_pb.js";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.js";
import { sha256 } from "../../src/bytes/index.js";
import { createEventExchange } from "../../src/events/index.js";
import { ImageTable, LeaseTable, NamespaceTable, openMetadata } from "../../src/metadata/index.js";
import {
  eventsService,
  imagesService,
  introspectionService,
  leasesService,
  namespacesService,
  requestContext,
  serveGrpc,
  versionService,
} from "../../src/services/index.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const headers = { "containerd-namespace": "default" };

async function rig(t: { teardown: (run: () => Promise<void>) => void }) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-services-"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n + 123n;
  const exchange = createEventExchange({ now });
  const collections: string[] = [];
  const collection = { scheduleAndWait: async () => void collections.push("collected") };
  const server = await serveGrpc({
    socketPath: join(folder, "s"),
    mode: 0o600,
    routes: [
      leasesService({ leases: new LeaseTable({ metadata, now }), collection, now }),
      imagesService({ images: new ImageTable({ metadata, now }), collection, events: exchange }),
      namespacesService({ namespaces: new NamespaceTable({ metadata, now }), events: exchange }),
      eventsService(exchange),
      versionService({ version: "1.2.3", revision: "r" }),
      introspectionService({
        serverId: "id",
        deprecations: () => [],
        plugins: [
          {
            type: "io.containerd.snapshotter.v1",
            id: "overlayfs",
            capabilities: ["c"],
            exports: { root: "/r" },
          },
          { type: "io.containerd.grpc.v1", id: "images", capabilities: [], exports: {} },
        ],
      }),
    ],
  });
  t.teardown(async () => {
    await server.close();
    await metadata.close();
    await rm(folder, { recursive: true });
  });
  return { transport: socketTransport(join(folder, "s")), collections, exchange };
}

const failure = async (call: Promise<unknown>): Promise<{ code: Code; rawMessage: string } | undefined> => {
  try {
    await call;
    return undefined;
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
};

t.test("requestContext() takes the first namespace and lease, and refuses bad names", async (t) => {
  const of = (...pairs: [string, string][]) => requestContext(new Headers(pairs));
  t.same(of(["containerd-namespace", "a"], ["containerd-lease", "l"]), { namespace: "a", lease: "l" });
  t.same(of(["containerd-namespace", "a"], ["containerd-namespace", "b"]), {
    namespace: "a",
    lease: undefined,
  });
  t.throws(() => of(), { code: "FAILED_PRECONDITION", message: "namespace is required" });
  t.throws(() => of(["containerd-namespace", "a/b"]), {
    code: "INVALID_ARGUMENT",
    message: 'namespace validation: identifier "a/b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$',
  });
  t.throws(() => of(["containerd-namespace", "a".repeat(77)]), { code: "INVALID_ARGUMENT" });
});

t.test("leasesService() makes random ids, lists resources and collects on a sync delete", async (t) => {
  const { transport, collections } = await rig(t);
  const leases = createClient(Leases, transport);
  t.match(await failure(leases.create({})), {
    code: Code.FailedPrecondition,
    rawMessage: "namespace is required: failed precondition",
  });
  const { lease } = await leases.create({ labels: { a: "1" } }, { headers });
  t.match(lease?.id, /^\d{1,9}-[A-Za-z0-9_-]{4}$/);
  t.equal((lease?.createdAt?.nanos ?? 0) % 1_000_000, 123, "every nanosecond arrives");
  const id = lease!.id;
  const resource = { type: "content", id: sha256(Buffer.from("x")) };
  await leases.addResource({ id, resource }, { headers });
  await leases.addResource({ id, resource: { type: "snapshots/overlayfs", id: "a/key" } }, { headers });
  const listed = await leases.listResources({ id }, { headers });
  t.match(listed.resources, [resource, { type: "snapshots/overlayfs", id: "a/key" }]);
  await leases.deleteResource({ id, resource }, { headers });
  t.equal((await leases.listResources({ id }, { headers })).resources.length, 1);
  t.match(await failure(leases.addResource({ id, resource: { type: "odd", id: "x" } }, { headers })), {
    code: Code.Unimplemented,
  });
  t.match(await failure(leases.addResource({ id, resource: { type: "content", id: "x" } }, { headers })), {
    code: Code.InvalidArgument,
  });
  t.equal(collections.length, 0);
  await leases.delete({ id, sync: true }, { headers });
  t.equal(collections.length, 1);
  t.match(await failure(leases.listResources({ id }, { headers })), {
    code: Code.NotFound,
    rawMessage: `lease "${id}": not found`,
  });
});

t.test("imagesService() keeps what it is given, and deletes by name and target", async (t) => {
  const { transport, collections } = await rig(t);
  const images = createClient(Images, transport);
  const target = { mediaType: "m", digest: sha256(Buffer.from("x")), size: 1n, annotations: { n: "1" } };
  const made = await images.create({ image: { name: "i", labels: { a: "1" }, target } }, { headers });
  t.match(made.image, { name: "i", labels: { a: "1" }, target });
  t.match(await failure(images.create({ image: { target } }, { headers })), {
    code: Code.InvalidArgument,
    rawMessage: "Image.Name required",
  });
  for (const wrong of [{ digest: "x" }, { size: 0n }, { mediaType: "" }]) {
    const image = { name: "j", target: { ...target, ...wrong } };
    t.match(await failure(images.create({ image }, { headers })), { code: Code.InvalidArgument });
  }
  t.match(await failure(images.create({ image: { name: "i", target } }, { headers })), {
    code: Code.AlreadyExists,
    rawMessage: 'image "i": already exists',
  });
  const updated = await images.update(
    { image: { name: "i", labels: { b: "2" } }, updateMask: { paths: ["labels.b"] } },
    { headers },
  );
  t.same(updated.image?.labels, { a: "1", b: "2" });
  const other = { ...target, digest: sha256(Buffer.from("y")) };
  t.match(await failure(images.delete({ name: "i", target: other }, { headers })), { code: Code.NotFound });
  t.equal((await images.list({ filters: ["name==i"] }, { headers })).images.length, 1);
  await images.delete({ name: "i", target, sync: true }, { headers });
  t.equal(collections.length, 1);
  t.match(await failure(images.get({ name: "i" }, { headers })), { code: Code.NotFound });
});

t.test(
  "eventsService() sends what happens to those who listen, filtered, and what others publish",
  async (t) => {
    const { transport, exchange } = await rig(t);
    const events = createClient(Events, transport);
    const namespaces = createClient(Namespaces, transport);
    const ending = new AbortController();
    const subscription = events.subscribe(
      { filters: ['topic~="^/namespaces/"', "namespace==other"] },
      { signal: ending.signal },
    );
    const received = subscription[Symbol.asyncIterator]();
    const first = received.next();
    // The subscription stands when its first event arrives; until then events are published again and again.
    let told = false;
    first.then(() => (told = true)).catch(() => undefined);
    for (let round = 0; !told && round < 1000; round += 1) {
      await namespaces.create({ namespace: { name: `n${round}`, labels: { a: "1" } } });
    }
    const envelope = (await first).value!;
    t.match(envelope, {
      topic: "/namespaces/create",
      event: { typeUrl: "containerd.events.NamespaceCreate" },
    });
    t.same(fromBinary(NamespaceCreateSchema, envelope.event!.value).labels, { a: "1" });
    await events.publish({ topic: "/odd/thing" }, { headers });
    await events.publish({ topic: "/seen/thing" }, { headers: { "containerd-namespace": "other" } });
    let seen = await received.next();
    while (seen.value?.topic.startsWith("/namespaces/")) seen = await received.next();
    t.match(seen.value, { namespace: "other", topic: "/seen/thing" });
    t.match(await failure(events.publish({ topic: "thing" }, { headers })), {
      code: Code.InvalidArgument,
      rawMessage: "envelope topic \"thing\": must start with '/': invalid argument",
    });
    t.match(await failure(events.forward({ envelope: { namespace: "a", topic: "/a" } })), {
      code: Code.InvalidArgument,
    });
    ending.abort();
    await t.rejects(received.next());
    exchange.publish({ namespace: "a", topic: "/a", event: undefined });
  },
);

t.test("a listener that is too slow is told so, and the others go on", async (t) => {
  const exchange = createEventExchange({ now: () => 1n });
  const { signal } = new AbortController();
  const slow = exchange.subscribe([], { signal })[Symbol.asyncIterator]();
  for (let count = 0; count < 10_001; count += 1) {
    exchange.publish({ namespace: "a", topic: "/a", event: undefined });
  }
  let received = 0;
  await t.rejects(
    async () => {
      for (;;) {
        await slow.next();
        received += 1;
      }
    },
    { code: "RESOURCE_EXHAUSTED", reason: "events-listener-slow" },
  );
  t.equal(received, 10_000);
});

t.test("versionService() and introspectionService() tell what answers", async (t) => {
  const { transport } = await rig(t);
  t.match(await createClient(Version, transport).version({}), { version: "1.2.3", revision: "r" });
  const introspection = createClient(Introspection, transport);
  t.match(await introspection.server({}), { uuid: "id", pid: BigInt(process.pid) });
  const found = await introspection.plugins({ filters: ["type~=snapshotter,id==overlayfs"] });
  t.match(found.plugins, [{ id: "overlayfs", capabilities: ["c"], exports: { root: "/r" } }]);
  t.match(await failure(introspection.pluginInfo({ type: "a", id: "b" })), { code: Code.NotFound });
});
