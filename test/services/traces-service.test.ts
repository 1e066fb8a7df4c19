import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import t from "tap";
import { Traces } from "../../gen/lazuli/v1/traces_pb.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { serveGrpc, tracesService } from "../../src/services/index.js";
import { decodeTrace, openTraceStore } from "../../src/traces/index.js";
import { sampleTrace } from "../traces/sample-trace.js";

t.test("tracesService() lists traces, gives one in pieces, and ends recordings", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-traces-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const store = await openTraceStore({ folder: join(folder, "traces") });
  const small = sampleTrace({
    startedAt: "2026-11-21T09:00:00.000Z",
    reference: "other",
    manifest: undefined,
  });
  const touches = Array.from({ length: 20_000 }, (_, at) => ({ ...sampleTrace().touches[0]!, atMs: at }));
  const large = sampleTrace({ touches });
  await store.save(small);
  await store.save(large);
  const ready = async (key: string): Promise<readonly string[] | undefined> =>
    key === "web" ? [large.id] : undefined;
  const socketPath = join(folder, "s.sock");
  const server = await serveGrpc({
    socketPath,
    mode: 0o600,
    routes: [tracesService({ store, recorder: { ready } })],
  });
  t.teardown(() => server.close());
  using connection = grpcOverSocket(socketPath);
  const client = createClient(Traces, connection.transport);
  const { traces } = await client.list({});
  t.same(
    traces.map(({ id, touches, manifest }) => [id, touches, manifest]),
    [
      [small.id, 3, ""],
      [large.id, 20_000, large.manifest],
    ],
  );
  t.same((await client.list({ reference: "other" })).traces.length, 1);
  const pieces: Uint8Array[] = [];
  for await (const { data } of client.read({ id: large.id })) pieces.push(data);
  t.ok(pieces.length > 1);
  t.same(decodeTrace(Buffer.concat(pieces)), large);
  await t.rejects(
    async () => {
      for await (const _ of client.read({ id: "../x" })) t.fail("there is no such trace");
    },
    { code: Code.NotFound },
  );
  t.same((await client.traceReady({ key: "web" })).ids, [large.id]);
  await t.rejects(client.traceReady({ key: "x" }), { code: Code.NotFound });
});
