import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t, { type Test } from "tap";
import { Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.js";
import { Transfer } from "../../gen/containerd/services/transfer/v1/transfer_pb.js";
import { ImageStoreSchema } from "../../gen/containerd/types/transfer/imagestore_pb.js";
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from "../../gen/containerd/types/transfer/importexport_pb.js";
import { ProgressSchema } from "../../gen/containerd/types/transfer/progress_pb.js";
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  OCIRegistrySchema,
} from "../../gen/containerd/types/transfer/registry_pb.js";
import { serveGrpc, streamingService, transferService } from "../../src/services/index.js";
import {
  type ObjectStream,
  openStream,
  packedObject,
  receiveBytes,
  StreamRegistry,
  sendBytes,
  streamId,
  unpackedObject,
} from "../../src/streaming/index.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";
import { tarOf } from "../../testing/transfer/small-image.js";
import { publish, type TransferRigOptions, transferRig } from "../transfer/transfer-rig.js";

const headers = { "containerd-namespace": "default" };
const tar = tarOf({ "a.bin": randomBytes(150_000) });

async function serviceRig(t: Test, options: TransferRigOptions = {}) {
  const rig = await transferRig(t, options);
  const streams = new StreamRegistry();
  const socketPath = join(rig.folder, "s");
  const routes = [streamingService(streams), transferService({ transferrer: rig.transferrer, streams })];
  const server = await serveGrpc({ socketPath, mode: 0o600, routes, closeTimeoutMs: 100 });
  const transport = socketTransport(socketPath);
  const ended = new AbortController();
  t.teardown(async () => {
    ended.abort();
    await server.close();
  });
  const streaming = createClient(Streaming, transport);
  const transfers = createClient(Transfer, transport);
  const open = async (prefix: string): Promise<{ id: string; stream: ObjectStream }> => {
    const id = streamId(prefix);
    const call = (requests: AsyncIterable<object>) =>
      streaming.stream(requests as never, { headers, signal: ended.signal });
    return { id, stream: await openStream({ id, signal: ended.signal, call }) };
  };
  type Message<Schema extends DescMessage> = readonly [Schema, MessageInitShape<Schema>];
  const transfer = async <From extends DescMessage, To extends DescMessage>(
    from: Message<From>,
    to: Message<To>,
    progressStream = "",
  ): Promise<unknown> =>
    await transfers.transfer(
      { source: packedObject(...from), destination: packedObject(...to), options: { progressStream } },
      { headers },
    );
  return { ...rig, streams, open, transfer };
}

async function codeOf(work: Promise<unknown>): Promise<Code | undefined> {
  return await work.then(
    () => undefined,
    (thrown: unknown) => ConnectError.from(thrown).code,
  );
}

t.test("transfer() pulls with progress and asks its client for credentials", async (t) => {
  const rig = await serviceRig(t, {
    registry: { auth: { kind: "token", username: "u", password: "p", identityToken: "refresh" } },
  });
  const { reference } = await publish(rig, [{ tar }]);
  const answers = [
    { authType: AuthType.CREDENTIALS, username: "u", secret: "p" },
    { authType: AuthType.REFRESH, secret: "refresh" },
  ];
  for (const [index, answer] of answers.entries()) {
    const auth = await rig.open("creds");
    const progress = await rig.open("progress");
    const hosts: string[] = [];
    const answering = (async () => {
      for (
        let asked = await auth.stream.receive();
        asked !== undefined;
        asked = await auth.stream.receive()
      ) {
        const { host, reference: about } = unpackedObject(AuthRequestSchema, asked);
        hosts.push(`${host} ${about}`);
        await auth.stream.send(packedObject(AuthResponseSchema, answer));
      }
    })();
    const events: string[] = [];
    const hearing = (async () => {
      for (let told = await progress.stream.receive(); told !== undefined; ) {
        const { event, name } = unpackedObject(ProgressSchema, told);
        events.push(`${event} ${name}`.trim());
        told = await progress.stream.receive();
      }
    })();
    const name = `${reference}-${index}`;
    await rig.transfer(
      [OCIRegistrySchema, { reference, resolver: { authStream: auth.id } }],
      [ImageStoreSchema, { name, unpacks: [{ platform: { os: "linux", architecture: "amd64" } }] }],
      progress.id,
    );
    await Promise.all([answering, hearing]);
    t.same(new Set(hosts), new Set([`${rig.server.host} ${reference}`]));
    t.equal(events[0], `Resolving from OCI Registry (${reference})`);
    t.ok(
      events.includes(`saved ${name}`) && events.includes(`Completed pull from OCI Registry (${reference})`),
    );
    t.ok(rig.images.get({ namespace: "default", name }));
    t.equal(rig.streams.size, 0, "the streams ended with the transfer");
  }
});

t.test("transfer() carries archives over streams of bytes, tags, and echoes", async (t) => {
  const rig = await serviceRig(t);
  const { reference } = await publish(rig, [{ tar }]);
  await rig.transfer([OCIRegistrySchema, { reference }], [ImageStoreSchema, { name: reference }]);
  const received = async (stream: ObjectStream): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const piece of receiveBytes(stream)) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  };
  const out = await rig.open("export");
  const receiving = received(out.stream);
  await rig.transfer([ImageStoreSchema, { name: reference }], [ImageExportStreamSchema, { stream: out.id }]);
  const archive = await receiving;
  t.ok(archive.length > 150_000);
  const into = await rig.open("import");
  const whole = async function* () {
    yield archive;
  };
  const sending = sendBytes({ stream: into.stream, source: whole() });
  await rig.transfer(
    [ImageImportStreamSchema, { stream: into.id }],
    [ImageStoreSchema, { name: "imported:1" }],
  );
  await sending;
  t.ok(rig.images.get({ namespace: "default", name: "imported:1" }));
  await rig.transfer([ImageStoreSchema, { name: reference }], [ImageStoreSchema, { name: "tagged:1" }]);
  t.ok(rig.images.get({ namespace: "default", name: "tagged:1" }));
  const [left, right] = [await rig.open("import"), await rig.open("export")];
  const echo = received(right.stream);
  const sent = sendBytes({ stream: left.stream, source: whole() });
  await rig.transfer(
    [ImageImportStreamSchema, { stream: left.id }],
    [ImageExportStreamSchema, { stream: right.id }],
  );
  await sent;
  t.ok((await echo).equals(archive), "what goes in comes out");
  t.equal(rig.streams.size, 0);
});

t.test("transfer() refuses pairs, objects and streams that it does not know", async (t) => {
  const rig = await serviceRig(t);
  const store = [ImageStoreSchema, { name: "x:1" }] as const;
  const registry = [OCIRegistrySchema, { reference: `${rig.server.host}/x:1` }] as const;
  t.equal(await codeOf(rig.transfer(registry, registry)), Code.Unimplemented);
  t.equal(await codeOf(rig.transfer([ProgressSchema, {}], store)), Code.NotFound);
  t.equal(await codeOf(rig.transfer([ImageImportStreamSchema, { stream: "none" }], store)), Code.NotFound);
  t.equal(await codeOf(rig.transfer(store, store, "none")), Code.NotFound);
  const scheme = [OCIRegistrySchema, { reference: "x/y:z", resolver: { defaultScheme: "gopher" } }] as const;
  t.equal(await codeOf(rig.transfer(scheme, store)), Code.InvalidArgument);
  const progress = await rig.open("progress");
  t.equal(await codeOf(rig.transfer(store, store, progress.id)), Code.NotFound, "no such image");
  t.equal(await progress.stream.receive(), undefined, "its streams ended all the same");
});
