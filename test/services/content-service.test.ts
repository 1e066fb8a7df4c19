import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import t, { type Test } from "tap";
import {
  Content,
  WriteAction,
  type WriteContentRequest,
} from "../../gen/containerd/services/content/v1/content_pb.js";
import { delay } from "../../src/async/index.js";
import { sha256 } from "../../src/bytes/index.js";
import { proxyContentStore } from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { contentService, serveGrpc } from "../../src/services/index.js";
import { contentSuite, MemoryStore } from "../../testing/content-suite/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const binding = loadBinding();
const now = () => binding.realtimeNanoseconds();
const headers = { "containerd-namespace": "test", "containerd-lease": "held" };

type Sent = Partial<Omit<WriteContentRequest, "$typeName" | "$unknown">>;

interface Rig {
  readonly store: MemoryStore;
  readonly client: Client<typeof Content>;
  readonly socketPath: string;
  readonly contexts: { namespace: string; lease: string | undefined }[];
}

async function served(cleanup: Cleanup): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-content-service-"));
  cleanup.add(async () => await rm(folder, { recursive: true, force: true }));
  const socketPath = join(folder, "s");
  const store = new MemoryStore({ now });
  const contexts: Rig["contexts"] = [];
  const service = contentService((context) => {
    contexts.push(context);
    return store;
  });
  const server = await serveGrpc({ socketPath, mode: 0o600, routes: [service], closeTimeoutMs: 100 });
  cleanup.add(async () => await server.close());
  return { store, client: createClient(Content, socketTransport(socketPath)), socketPath, contexts };
}

async function rigFor(t: Test): Promise<Rig> {
  const cleanup = new Cleanup();
  t.teardown(async () => await cleanup[Symbol.asyncDispose]());
  return await served(cleanup);
}

/** Sends all messages of one stream and ends it. */
async function write(rig: Rig, ...messages: Sent[]) {
  const answers = [];
  async function* sent() {
    yield* messages;
  }
  try {
    for await (const answer of rig.client.write(sent(), { headers })) answers.push(answer);
  } catch (thrown) {
    return { answers, error: ConnectError.from(thrown) };
  }
  return { answers, error: undefined };
}

async function failure(work: Promise<unknown>): Promise<ConnectError> {
  return await work.then(
    () => new ConnectError("no failure", Code.Unknown),
    (thrown: unknown) => ConnectError.from(thrown),
  );
}

/** Waits for what a cancelled call leaves to be cleaned up. */
async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}

t.test("proxyContentStore() over contentService() passes the suite", async (t) => {
  await contentSuite(t, {
    name: "service",
    now,
    factory: async () => {
      const cleanup = new Cleanup();
      const { socketPath } = await served(cleanup);
      const store = proxyContentStore({ socketPath, namespace: "test" });
      cleanup.add(async () => await store[Symbol.asyncDispose]());
      return { store, dispose: async () => await cleanup[Symbol.asyncDispose]() };
    },
  });
});

t.test("contentService() takes the namespace and the lease from the headers", async (t) => {
  const rig = await rigFor(t);
  const digest = sha256(Buffer.from("none"));
  t.match(await failure(rig.client.info({ digest })), {
    code: Code.FailedPrecondition,
    rawMessage: "namespace is required: failed precondition",
  });
  t.match(await failure(rig.client.info({ digest }, { headers })), { code: Code.NotFound });
  t.same(rig.contexts, [{ namespace: "test", lease: "held" }]);
  for (const call of [
    rig.client.info({ digest: "sha256:0" }, { headers }),
    rig.client.delete({ digest: "sha256:0" }, { headers }),
    rig.client.update({ info: { digest: "sha256:0" } }, { headers }),
    rig.client.update({}, { headers }),
  ]) {
    t.equal((await failure(call)).code, Code.InvalidArgument);
  }
  const unknown = await failure(rig.client.status({ ref: "x" }, { headers }));
  t.match(unknown, { code: Code.NotFound, rawMessage: /^could not get status for ref "x": .*: not found$/ });
});

t.test("write() answers each message with the offset and the running digest", async (t) => {
  const rig = await rigFor(t);
  const bytes = Buffer.from("some bytes");
  const { answers, error } = await write(
    rig,
    { action: WriteAction.STAT, ref: "r", total: 10n, expected: sha256(bytes) },
    { action: WriteAction.WRITE, data: bytes.subarray(0, 4) },
    { action: WriteAction.WRITE, offset: 4n, data: bytes.subarray(4, 6) },
    { action: WriteAction.STAT },
    { action: WriteAction.COMMIT, offset: 6n, data: bytes.subarray(6), labels: { a: "b" } },
  );
  t.equal(error, undefined);
  t.match(
    answers.map(({ action, offset, total, digest }) => ({ action, offset, total, digest })),
    [
      { action: WriteAction.STAT, offset: 0n, total: 10n, digest: sha256(Buffer.alloc(0)) },
      { action: WriteAction.WRITE, offset: 4n, total: 0n, digest: sha256(bytes.subarray(0, 4)) },
      { action: WriteAction.WRITE, offset: 6n, digest: sha256(bytes.subarray(0, 6)) },
      { action: WriteAction.STAT, offset: 6n, total: 10n },
      { action: WriteAction.COMMIT, offset: 10n, digest: sha256(bytes) },
    ],
  );
  t.match(await rig.store.info(sha256(bytes)), { size: 10, labels: { a: "b" } });
  t.equal(rig.store.locked.size, 0);
});

t.test("write() refuses a stream without ref, another offset, and bad digests", async (t) => {
  const rig = await rigFor(t);
  for (const messages of [[], [{ action: WriteAction.STAT }]]) {
    t.match((await write(rig, ...messages)).error, {
      code: Code.InvalidArgument,
      rawMessage: "first message must have a reference: invalid argument",
    });
  }
  t.match((await write(rig, { ref: "r", expected: "sha256:0" })).error, { code: Code.InvalidArgument });
  const opened = { action: WriteAction.WRITE, ref: "r", data: Buffer.from("0123456789") };
  const wrong = { action: WriteAction.WRITE, offset: 4n, data: Buffer.from("x") };
  t.match((await write(rig, opened, wrong)).error, {
    code: Code.OutOfRange,
    rawMessage: "write @4 must occur at current offset 10: out of range",
  });
  t.equal(rig.store.locked.size, 0, "the error unlocks the ref");
  t.equal((await rig.store.status("r")).offset, 10, "and keeps what has arrived");
  const anew = { action: WriteAction.WRITE, offset: 0n, data: Buffer.from("xyz") };
  const { answers } = await write(rig, { ref: "r" }, anew);
  t.same(
    answers.map(({ offset }) => offset),
    [10n, 3n],
    "an offset of 0 begins anew",
  );
});

t.test("write() aborts an ingest whose blob has come in another way", async (t) => {
  const rig = await rigFor(t);
  const bytes = Buffer.from("there");
  await write(rig, { ref: "first", action: WriteAction.COMMIT, data: bytes });
  const { error } = await write(
    rig,
    { ref: "second", action: WriteAction.WRITE, data: bytes },
    { action: WriteAction.COMMIT, offset: 5n, expected: sha256(bytes) },
  );
  t.match(error, {
    code: Code.AlreadyExists,
    rawMessage: `blob with expected digest ${sha256(bytes)} exists: already exists`,
  });
  t.same([...rig.store.ingests.keys()], []);
  t.equal(rig.store.locked.size, 0);
});

t.test("a cancelled write unlocks its ref and keeps what has arrived", async (t) => {
  const rig = await rigFor(t);
  for (const hasIdleClient of [true, false]) {
    const controller = new AbortController();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* sent() {
      yield { ref: `c-${hasIdleClient}`, action: WriteAction.WRITE, data: Buffer.from("kept") };
      if (hasIdleClient) await held;
      else
        for (let offset = 4n; ; offset += 4n)
          yield { action: WriteAction.WRITE, offset, data: Buffer.from("more") };
    }
    const call = async (): Promise<void> => {
      for await (const _ of rig.client.write(sent(), { headers, signal: controller.signal })) {
        controller.abort();
      }
    };
    await t.rejects(call());
    release();
    await eventually(() => rig.store.locked.size === 0);
    t.ok((await rig.store.status(`c-${hasIdleClient}`)).offset >= 4);
  }
});

t.test("read() sends a range in messages of 1 MiB, and closes the blob when the client leaves", async (t) => {
  const rig = await rigFor(t);
  const bytes = Buffer.alloc(40 * 1024 * 1024, "lazuli");
  const digest = sha256(bytes);
  const writer = await rig.store.writer({ ref: "r", total: 0, expected: undefined });
  await writer.write(bytes);
  await writer.commit({ size: 0, expected: undefined, labels: {} });
  const read = async (offset: number, size: number) => {
    const pieces: { offset: number; data: Uint8Array }[] = [];
    const request = { digest, offset: BigInt(offset), size: BigInt(size) };
    for await (const { offset, data } of rig.client.read(request, { headers })) {
      pieces.push({ offset: Number(offset), data });
    }
    return pieces;
  };
  const mebibyte = 1024 * 1024;
  const start = bytes.length - 2 * mebibyte - 5;
  const pieces = await read(start, 0);
  t.same(
    pieces.map(({ offset, data }) => [offset, data.length]),
    [
      [0, mebibyte],
      [mebibyte, mebibyte],
      [2 * mebibyte, 5],
    ],
  );
  t.ok(Buffer.concat(pieces.map(({ data }) => data)).equals(bytes.subarray(start)));
  t.same(
    (await read(bytes.length - 3, 100)).map(({ data }) => data.length),
    [3],
  );
  t.same(await read(bytes.length, 1), []);
  t.match(await failure(read(bytes.length + 1, 1)), {
    code: Code.OutOfRange,
    rawMessage: `read past object length ${bytes.length} bytes: out of range`,
  });
  await eventually(() => rig.store.openReaders === 0);
  const controller = new AbortController();
  const call = async (): Promise<void> => {
    for await (const _ of rig.client.read({ digest }, { headers, signal: controller.signal }))
      controller.abort();
  };
  await t.rejects(call());
  await eventually(() => rig.store.openReaders === 0);
  t.equal(rig.store.openReaders, 0);
});

t.test("a proxy says what the service says, and when there is no service", async (t) => {
  const rig = await rigFor(t);
  const { socketPath } = rig;
  await using proxy = proxyContentStore({ socketPath, namespace: "test" });
  const digest = sha256(Buffer.from("missing"));
  await t.rejects(proxy.info(digest), {
    code: "NOT_FOUND",
    reason: "content-service-not-found",
    message: `content ${digest}`,
    subject: digest,
  });
  await using nobody = proxyContentStore({ socketPath: `${socketPath}-none`, namespace: "test" });
  const unreachable = { code: "UNAVAILABLE", reason: "content-service-unreachable" };
  await t.rejects(nobody.info(digest), unreachable);
  await t.rejects(nobody.writer({ ref: "r", total: 0, expected: undefined }), unreachable);
  await using other = proxyContentStore({ socketPath, namespace: "not a name" });
  await t.rejects(other.info(digest), { code: "INVALID_ARGUMENT" });
  const controller = new AbortController();
  const writer = await proxy.writer({ ref: "r", total: 0, expected: undefined, signal: controller.signal });
  await writer.write(Buffer.from("kept"));
  controller.abort();
  await t.rejects(writer.write(Buffer.from("lost")), { code: "CANCELED" });
  await writer.close();
  await eventually(() => rig.store.locked.size === 0);
  t.equal((await rig.store.status("r")).offset, 4);
});
