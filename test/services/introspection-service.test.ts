import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { RuntimeInfoSchema, RuntimeRequestSchema } from "../../gen/containerd/types/introspection_pb.js";
import { introspectionService, runtimeInfo, serveGrpc } from "../../src/services/index.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const features = { typeUrl: "features", value: new Uint8Array([7]) };
const plain = { capabilities: [], exports: {} };
const task = { type: "io.containerd.runtime.v2", id: "task" };

async function rig(t: { teardown: (run: () => Promise<void>) => void }) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-introspection-"));
  const asked: unknown[] = [];
  const info = runtimeInfo({
    runtimeInfo: async (request) => {
      asked.push(request);
      const said = { name: "io.containerd.runc.v2", version: "v9", revision: "r", annotations: { a: "1" } };
      return { ...said, options: undefined, features };
    },
  });
  const server = await serveGrpc({
    socketPath: join(folder, "s"),
    mode: 0o600,
    routes: [
      introspectionService({
        serverId: "id",
        deprecations: () => [
          { id: "io.containerd.deprecation/old", message: "gone soon", lastOccurrence: 5n },
        ],
        plugins: [
          {
            ...task,
            ...plain,
            requires: ["a.v1"],
            platforms: [{ os: "linux", architecture: "amd64" }],
            info,
          },
          { type: "x.v1", id: "off", ...plain, initError: "skip plugin: not configured" },
          { type: "x.v1", id: "mute", ...plain },
        ],
      }),
    ],
  });
  t.teardown(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  return { client: createClient(Introspection, socketTransport(join(folder, "s"))), asked };
}

const failure = async (call: Promise<unknown>): Promise<{ code: Code; rawMessage: string } | undefined> => {
  try {
    await call;
    return undefined;
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
};

t.test("introspectionService() tells what plugins build on, work on and why one is off", async (t) => {
  const { client } = await rig(t);
  const { plugins } = await client.plugins({ filters: ["id==task", "id==off"] });
  t.match(plugins, [
    { ...task, requires: ["a.v1"], platforms: [{ os: "linux", architecture: "amd64" }] },
    { id: "off", initErr: { code: 2, message: "skip plugin: not configured" } },
  ]);
  t.equal(plugins[0]?.initErr, undefined);
  t.match((await client.server({})).deprecations, [
    { id: "io.containerd.deprecation/old", message: "gone soon", lastOccurrence: { nanos: 5 } },
  ]);
});

t.test("introspectionService() lets a plugin answer questions of its own", async (t) => {
  const { client, asked } = await rig(t);
  const value = toBinary(
    RuntimeRequestSchema,
    create(RuntimeRequestSchema, { runtimePath: "io.containerd.runc.v2", options: features }),
  );
  const options = { typeUrl: "containerd.types.RuntimeRequest", value };
  const { plugin, extra } = await client.pluginInfo({ ...task, options });
  t.match(plugin, task);
  t.equal(extra?.typeUrl, "containerd.types.RuntimeInfo");
  t.match(fromBinary(RuntimeInfoSchema, extra!.value), {
    name: "io.containerd.runc.v2",
    version: { version: "v9", revision: "r" },
    features: { typeUrl: "features" },
    annotations: { a: "1" },
  });
  t.match(asked, [{ runtime: "io.containerd.runc.v2", options: { typeUrl: "features" } }]);
  t.equal((await client.pluginInfo(task)).extra, undefined, "nothing was asked");
});

t.test(
  "introspectionService() refuses questions that a plugin can't answer, in containerd's words",
  async (t) => {
    const { client } = await rig(t);
    const asks = async (name: { type: string; id: string }, typeUrl: string, value = new Uint8Array()) =>
      await failure(client.pluginInfo({ ...name, options: { typeUrl, value } }));
    t.match(await asks({ type: "x.v1", id: "none" }, "q"), {
      code: Code.NotFound,
      rawMessage: "plugin x.v1.none not found: not found",
    });
    t.match(await asks({ type: "x.v1", id: "mute" }, "q"), {
      code: Code.Unimplemented,
      rawMessage: "plugin does not provided extra information: not implemented",
    });
    t.match(await asks({ type: "x.v1", id: "off" }, "q"), { code: Code.FailedPrecondition });
    t.match(await asks(task, "q"), { code: Code.Unimplemented });
    t.match(await asks(task, "containerd.types.RuntimeRequest", new Uint8Array([0xff, 0xff])), {
      code: Code.InvalidArgument,
    });
  },
);
