import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.js";
import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { createEventExchange, type EventEnvelope } from "../../src/events/index.js";
import { ContainerTable, openMetadata } from "../../src/metadata/index.js";
import { containersService, serveGrpc } from "../../src/services/index.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const headers = { "containerd-namespace": "default" };
const spec = { typeUrl: "types.containerd.io/x", value: new Uint8Array([1, 2]) };
const container = {
  id: "c",
  image: "i",
  runtime: { name: "r", options: spec },
  spec,
  snapshotter: "overlayfs",
  snapshotKey: "k",
  labels: { a: "1" },
  extensions: { e: spec },
  sandbox: "s",
};

async function rig(t: { teardown: (run: () => Promise<void>) => void }) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-containers-"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n + 123n;
  const events = createEventExchange({ now });
  const server = await serveGrpc({
    socketPath: join(folder, "s"),
    mode: 0o600,
    routes: [containersService({ containers: new ContainerTable({ metadata, now }), events })],
  });
  t.teardown(async () => {
    await server.close();
    await metadata.close();
    await rm(folder, { recursive: true });
  });
  return { containers: createClient(Containers, socketTransport(join(folder, "s"))), events };
}

/** What is told while something runs, of events that match one of the filters. */
async function told(
  events: ReturnType<typeof createEventExchange>,
  filters: readonly string[],
  run: () => Promise<void>,
): Promise<EventEnvelope[]> {
  const ending = new AbortController();
  const seen: EventEnvelope[] = [];
  const listening = (async () => {
    for await (const envelope of events.subscribe(filters, { signal: ending.signal })) seen.push(envelope);
  })();
  await run();
  // Whoever waits for the next event gets those that came before the end.
  await new Promise((resolve) => setImmediate(resolve));
  ending.abort();
  await listening;
  return seen;
}

const failure = async (call: Promise<unknown>): Promise<{ code: Code; rawMessage: string } | undefined> => {
  try {
    await call;
    return undefined;
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
};

t.test("containersService() gives back every field and changes those that it is asked to", async (t) => {
  const { containers } = await rig(t);
  t.match((await containers.create({ container }, { headers })).container, container);
  const got = (await containers.get({ id: "c" }, { headers })).container;
  t.match(got, container);
  t.equal((got?.createdAt?.nanos ?? 0) % 1_000_000, 123, "every nanosecond arrives");
  const { container: updated } = await containers.update(
    { container: { id: "c", labels: { b: "2" }, image: "other" }, updateMask: { paths: ["labels.b"] } },
    { headers },
  );
  t.same({ ...updated?.labels, image: updated?.image }, { a: "1", b: "2", image: "i" });
  const listed: string[] = [];
  await containers.create({ container: { ...container, id: "d", extensions: {} } }, { headers });
  for await (const message of containers.listStream({}, { headers })) listed.push(message.container!.id);
  t.same(listed, ["c", "d"]);
  t.equal((await containers.list({ filters: ["id==d"] }, { headers })).containers.length, 1);
  await containers.delete({ id: "c" }, { headers });
  t.match(await failure(containers.get({ id: "c" }, { headers })), {
    code: Code.NotFound,
    rawMessage: 'container "c" in namespace "default": not found',
  });
});

t.test("containersService() refuses what containerd refuses, in its words", async (t) => {
  const { containers } = await rig(t);
  t.match(await failure(containers.create({}, { headers })), { code: Code.InvalidArgument });
  t.match(await failure(containers.create({ container: { ...container, runtime: {} } }, { headers })), {
    code: Code.InvalidArgument,
    rawMessage: "create container failed validation: container.Runtime.Name must be set: invalid argument",
  });
  await containers.create({ container }, { headers });
  t.match(await failure(containers.create({ container }, { headers })), {
    code: Code.AlreadyExists,
    rawMessage: 'container "c": already exists',
  });
  t.match(await failure(containers.update({}, { headers })), {
    code: Code.InvalidArgument,
    rawMessage: "Container.ID required",
  });
  const other = { ...container, snapshotter: "native" };
  t.match(await failure(containers.update({ container: other }, { headers })), {
    code: Code.InvalidArgument,
    rawMessage: "container.Snapshotter field is immutable: invalid argument",
  });
  t.match(await failure(containers.delete({ id: "none" }, { headers })), { code: Code.NotFound });
  const stream = async (): Promise<void> => {
    for await (const _ of containers.listStream({})) t.fail("nothing is listed without a namespace");
  };
  t.match(await failure(stream()), { code: Code.FailedPrecondition });
});

t.test("containersService() tells what happens, to those whose filters ask for it", async (t) => {
  const { containers, events } = await rig(t);
  const cycle = async (): Promise<void> => {
    await containers.create({ container }, { headers });
    await containers.update({ container: { ...container, labels: { a: "2" } } }, { headers });
    await containers.delete({ id: "c" }, { headers });
  };
  const all = await told(events, [], cycle);
  t.same(
    all.map(({ topic, namespace }) => [topic, namespace]),
    [
      ["/containers/create", "default"],
      ["/containers/update", "default"],
      ["/containers/delete", "default"],
    ],
  );
  t.match(fromBinary(ContainerUpdateSchema, all[1]!.event!.value), {
    id: "c",
    image: "i",
    labels: { a: "2" },
    snapshotKey: "k",
  });
  const topicsOf = async (...filters: string[]): Promise<string[]> =>
    (await told(events, filters, cycle)).map(({ topic }) => topic);
  t.same(await topicsOf("event.runtime.name==r"), ["/containers/create"]);
  t.same(await topicsOf("event.labels.a==2"), ["/containers/update"]);
  t.same(await topicsOf("event.id==c,event.image"), ["/containers/create", "/containers/update"]);
  t.same(await topicsOf("event.id==other", "event.nothing", "event"), []);
});
