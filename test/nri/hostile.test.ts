import { once } from "node:events";
import { connect } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import t from "tap";
import {
  ConfigureResponseSchema,
  CreateContainerResponseSchema,
  Event,
  RegisterPluginRequestSchema,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { RequestSchema, ResponseSchema } from "../../gen/ttrpc/request_pb.js";
import { LazuliError } from "../../src/errors/index.js";
import { Mux, muxConnections } from "../../src/nri/mux.js";
import { encodeFrame, FrameReader } from "../../src/ttrpc/frame.js";
import { nriRig, until } from "./rig.js";

/** xorshift32: the same bytes in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function mutated(bytes: Uint8Array, next: () => number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (let count = (next() % 2) + 1; count > 0; count -= 1) {
    // Mostly letters and marks: bytes above break texts, and the answer is not looked at any further.
    copy[next() % copy.length] = next() % 4 === 0 ? next() & 0xff : 0x2d + (next() % 0x4d);
  }
  return next() % 8 === 0 ? copy.subarray(0, next() % copy.length) : copy;
}

const adjustment = toBinary(
  CreateContainerResponseSchema,
  create(CreateContainerResponseSchema, {
    adjust: {
      annotations: { a: "1", "-b": "" },
      mounts: [{ destination: "/m", type: "bind", source: "/s", options: ["rw"] }],
      env: [{ key: "A", value: "1" }],
      args: ["x"],
      hooks: { prestart: [{ path: "/h", timeout: { value: 1n } }] },
      rlimits: [{ type: "R", hard: 1n, soft: 1n }],
      linux: {
        devices: [{ path: "/d", type: "c", major: 1n, minor: 1n, fileMode: { value: 1 } }],
        resources: {
          memory: { limit: { value: 1n } },
          cpu: { quota: { value: 1n }, cpus: "0" },
          unified: { u: "1" },
          pids: { limit: 1n },
        },
        oomScoreAdj: { value: 1n },
        ioPriority: { class: 1, priority: 1 },
        scheduler: { policy: 1, flags: [1] },
        namespaces: [{ type: "pid" }],
        sysctl: { s: "1" },
        memoryPolicy: { mode: 1, flags: [1] },
        rdt: { closId: { value: "x" } },
      },
    },
    update: [{ containerId: "other", linux: { resources: { cpu: { shares: { value: 1n } } } } }],
    evict: [{ containerId: "other", reason: "x" }],
  }),
);

const configured = toBinary(
  ConfigureResponseSchema,
  create(ConfigureResponseSchema, { events: 1 << (Event.CREATE_CONTAINER - 1) }),
);

/** A plugin by hand: registered, and with any bytes for an answer to each call. */
async function rawPlugin(socketPath: string, answer: (method: number) => Uint8Array) {
  const socket = connect(socketPath);
  await once(socket, "connect");
  const mux = new Mux(socket);
  const calls = mux.channel(muxConnections.plugin);
  const reader = new FrameReader();
  let count = 0;
  calls.on("error", () => undefined);
  calls.on("data", (chunk: Buffer) => {
    for (const { streamId } of reader.push(chunk)) {
      const body = toBinary(ResponseSchema, create(ResponseSchema, { payload: answer(count) }));
      count += 1;
      calls.write(encodeFrame({ streamId, type: 2, body }));
    }
  });
  const payload = toBinary(
    RegisterPluginRequestSchema,
    create(RegisterPluginRequestSchema, { pluginIdx: "10", pluginName: "raw" }),
  );
  const service = "nri.pkg.api.v1alpha1.Runtime";
  const request = toBinary(
    RequestSchema,
    create(RequestSchema, { service, method: "RegisterPlugin", payload }),
  );
  mux.channel(muxConnections.runtime).on("data", () => undefined);
  mux.channel(muxConnections.runtime).write(encodeFrame({ streamId: 1, type: 1, body: request }));
  return mux;
}

t.test("createContainer() ends well or with an error of its own whatever a plugin answers", async (t) => {
  const { nri, socketPath } = await nriRig(t, { requestTimeoutMs: 1000 });
  const next = random(0x5eed);
  const ends = { adjusted: 0, failed: 0, disconnected: 0 };
  let mux: Mux | undefined;
  for (let round = 0; round < 400; round += 1) {
    if (nri.plugins.length === 0) {
      mux?.close();
      // The first two answers are those to Configure and Synchronize.
      const first = [configured, new Uint8Array()];
      mux = await rawPlugin(socketPath, (count) => first[count] ?? mutated(adjustment, next));
      await until(() => nri.plugins.length === 1);
    }
    try {
      const { spec } = await nri.createContainer({
        container: { id: "c", spec: { process: { env: ["B=1"] } } },
      });
      JSON.stringify(spec);
      ends[nri.plugins.length === 0 ? "disconnected" : "adjusted"] += 1;
    } catch (thrown) {
      if (!(thrown instanceof LazuliError) || thrown.code === "UNKNOWN") t.fail(`round ${round}: ${thrown}`);
      ends.failed += 1;
    }
  }
  mux?.close();
  t.ok(ends.adjusted >= 50, `adjusted: ${ends.adjusted}`);
  t.ok(ends.disconnected > 0, `disconnected: ${ends.disconnected}`);
});

t.test("the socket takes any bytes", async (t) => {
  const { nri, socketPath, plugin } = await nriRig(t, { registrationTimeoutMs: 50 });
  const next = random(0xbad);
  for (let round = 0; round < 40; round += 1) {
    const socket = connect(socketPath);
    socket.on("error", () => undefined);
    socket.resume();
    const bytes = Buffer.from(Array.from({ length: (next() % 3000) + 1 }, () => next() & 0xff));
    // Half of them with a header that leads into ttrpc.
    if (round % 2 === 0) Buffer.from([0, 0, 0, 2, 0, 0, 4, 0]).copy(bytes, 0, 0, Math.min(8, bytes.length));
    socket.end(bytes);
    await once(socket, "close");
  }
  t.same(nri.plugins, []);
  await plugin("10-good", {});
  await t.resolves(nri.createContainer({ container: { id: "c", spec: {} } }));
});
