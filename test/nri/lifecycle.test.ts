import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { type Container, Event, type PodSandbox, Runtime } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { notFound } from "../../src/errors/index.js";
import type { NriSubject } from "../../src/nri/index.js";
import { nriRig, until } from "./rig.js";
import { connectPlugin, type PluginHandlers } from "./test-plugin.js";

const pod = { id: "p", name: "pod", namespace: "default", labels: { a: "b" }, cgroupParent: "/kubepods" };
const subject: NriSubject = {
  pod,
  container: { id: "c", podId: "p", name: "main", state: "running", pid: 7, createdAtNs: 9n, spec: {} },
};

function bits(...events: Event[]): number {
  return events.reduce((mask, event) => mask | (1 << (event - 1)), 0);
}

t.test("plugins are told of the events that they want, with pod and container", async (t) => {
  const { nri, plugin } = await nriRig(t);
  const seen: string[] = [];
  const note =
    (name: string) =>
    async (request: { pod?: PodSandbox | undefined; container?: Container | undefined }) => {
      seen.push(`${name} ${request.pod?.id} ${request.container?.id}`);
      return {};
    };
  const all: PluginHandlers = {
    configure: async ({ runtimeName, requestTimeout, registrationTimeout }) => {
      t.same([runtimeName, requestTimeout, registrationTimeout], ["lazuli", 5000n, 5000n]);
      return { events: 2 ** (Event.LAST - 1) - 1 };
    },
    runPodSandbox: note("run"),
    updatePodSandbox: async ({ linuxResources, overheadLinuxResources }) => {
      seen.push(
        `resize ${linuxResources?.memory?.limit?.value} ${overheadLinuxResources?.cpu?.quota?.value}`,
      );
      return {};
    },
    postUpdatePodSandbox: note("resized"),
    stopPodSandbox: note("stop pod"),
    removePodSandbox: note("remove pod"),
    createContainer: note("create"),
    validateContainerAdjustment: async ({ plugins }) => {
      seen.push(`validate ${plugins.map(({ index, name }) => `${index}-${name}`)}`);
      return {};
    },
    postCreateContainer: note("created"),
    startContainer: note("start"),
    postStartContainer: note("started"),
    updateContainer: note("update"),
    postUpdateContainer: note("updated"),
    stopContainer: note("stop"),
    removeContainer: note("remove"),
  };
  await plugin("10-all", all);
  const some: string[] = [];
  await plugin("20-some", {
    configure: async () => ({ events: bits(Event.START_CONTAINER) }),
    startContainer: async ({ container }) => {
      some.push(`${container?.name} ${container?.pid} ${container?.createdAt}`);
      return {};
    },
  });
  await nri.runPodSandbox(pod);
  await nri.updatePodSandbox(pod, { overhead: { cpu: { quota: 5 } }, resources: { memory: { limit: 3 } } });
  await nri.postUpdatePodSandbox(pod);
  await nri.createContainer(subject);
  await nri.postCreateContainer(subject);
  await nri.startContainer(subject);
  await nri.postStartContainer(subject);
  await nri.updateContainer(subject, {});
  await nri.postUpdateContainer(subject);
  await nri.stopContainer(subject);
  await nri.removeContainer(subject);
  await nri.stopPodSandbox(pod);
  await nri.removePodSandbox(pod);
  await nri.startContainer({ container: { id: "plain", spec: {} } });
  t.same(seen, [
    "run p undefined",
    "resize 3 5",
    "resized p undefined",
    "create p c",
    "validate 10-all,20-some",
    "created p c",
    "start p c",
    "started p c",
    "update p c",
    "updated p c",
    "stop p c",
    "remove p c",
    "stop pod p undefined",
    "remove pod p undefined",
    "start  plain",
  ]);
  t.same(some, ["main 7 9", " 0 0"]);
});

t.test("an older plugin is told by StateChange", async (t) => {
  const { nri, plugin } = await nriRig(t);
  const seen: Event[] = [];
  await plugin("10-old", {
    stateChange: async ({ event, pod }) => {
      t.equal(pod?.id, "p");
      seen.push(event);
      return {};
    },
  });
  await nri.runPodSandbox(pod);
  await nri.startContainer(subject);
  await nri.startContainer(subject);
  await nri.removeContainer(subject);
  t.same(seen, [Event.RUN_POD_SANDBOX, Event.START_CONTAINER, Event.START_CONTAINER, Event.REMOVE_CONTAINER]);
});

t.test("a plugin that wants all and has no calls is in nobody's way", async (t) => {
  const { nri, plugin } = await nriRig(t);
  await plugin("10-idle", {});
  await nri.runPodSandbox(pod);
  t.same((await nri.createContainer({ container: { id: "c", spec: { a: 1 } } })).spec, {
    a: 1,
  });
  await nri.startContainer(subject);
  t.same(await nri.stopContainer(subject), []);
  t.same(nri.plugins, ["10-idle"]);
});

t.test("updates of several plugins are merged, and conflicts refused", async (t) => {
  const { nri, plugin } = await nriRig(t);
  const memory = (limit: bigint) => ({ linux: { resources: { memory: { limit: { value: limit } } } } });
  const cpus = { linux: { resources: { cpu: { cpus: "0" } } } };
  let second: object[] = [{ containerId: "other", ...cpus }];
  await plugin("10-a", {
    createContainer: async () => ({
      update: [{ containerId: "other", ...memory(5n), ignoreFailure: true }],
      evict: [{ containerId: "victim", reason: "why" }],
    }),
    updateContainer: async ({ linuxResources }) => {
      t.equal(linuxResources?.cpu?.shares?.value, 7n);
      return {
        update: [
          { containerId: "c", ...memory(5n) },
          { containerId: "other", ...memory(6n) },
        ],
      };
    },
    stopContainer: async () => ({ update: [{ containerId: "other", ...memory(8n) }] }),
  });
  await plugin("20-b", {
    createContainer: async () => ({ update: second }),
    updateContainer: async ({ linuxResources }) => {
      t.equal(linuxResources?.memory?.limit?.value, 5n, "it sees what the first wants");
      return {};
    },
    stopContainer: async () => ({ update: [{ containerId: "other", ...memory(9n) }] }),
  });
  const created = await nri.createContainer(subject);
  t.same(created.updates, [
    {
      containerId: "other",
      resources: { memory: { limit: 5 }, cpu: { cpus: "0" } },
      isFailureIgnored: false,
    },
  ]);
  t.match(created.evictions, [{ containerId: "victim", reason: "why" }]);
  second = [{ containerId: "other", ...memory(1n), ignoreFailure: true }];
  t.match((await nri.createContainer(subject)).updates, [{ resources: { memory: { limit: 5 } } }]);
  second = [{ containerId: "other", ...memory(1n) }];
  await t.rejects(nri.createContainer(subject), {
    code: "FAILED_PRECONDITION",
    reason: "nri-conflict",
    message: 'plugins "20-b" and "10-a" both tried to set MemLimit',
  });
  second = [{ containerId: "c", ...memory(1n) }];
  await t.rejects(nri.createContainer(subject), {
    code: "FAILED_PRECONDITION",
    reason: "nri-update-of-created",
  });
  const updated = await nri.updateContainer(subject, { cpu: { shares: 7 } });
  t.same(updated.resources, { cpu: { shares: 7 }, memory: { limit: 5 } });
  t.same(updated.updates, [
    { containerId: "other", resources: { memory: { limit: 6 } }, isFailureIgnored: false },
  ]);
  const stopped = await nri.stopContainer(subject);
  t.match(
    stopped,
    [{ containerId: "other", resources: { memory: { limit: 8 } } }],
    "a conflict is told only",
  );
});

t.test("what a plugin refuses is thrown where it may be, and told elsewhere", async (t) => {
  const { nri, plugin } = await nriRig(t);
  const refuse = async (): Promise<never> => {
    throw notFound("policy x: not found");
  };
  await plugin("10-no", {
    runPodSandbox: refuse,
    createContainer: refuse,
    startContainer: refuse,
    updateContainer: refuse,
    stopContainer: refuse,
    removeContainer: refuse,
    postStartContainer: refuse,
  });
  const wanted = { code: "NOT_FOUND", message: "policy x: not found" };
  await t.rejects(nri.runPodSandbox(pod), wanted);
  await t.rejects(nri.createContainer(subject), wanted);
  await t.rejects(nri.startContainer(subject), wanted);
  await t.rejects(nri.updateContainer(subject, {}), wanted);
  t.same(await nri.stopContainer(subject), []);
  await nri.removeContainer(subject);
  await nri.postStartContainer(subject);
  t.same(nri.plugins, ["10-no"], "it stays connected");
});

t.test("a plugin that hangs or crashes is disconnected, and the container goes on", async (t) => {
  const { nri, plugin } = await nriRig(t, { requestTimeoutMs: 60 });
  const hung = await plugin("10-hang", { createContainer: () => new Promise(() => undefined) });
  const crashed = await plugin("20-crash", {
    createContainer: async () => {
      crashed.close();
      return {};
    },
  });
  await plugin("30-good", { createContainer: async () => ({ adjust: { env: [{ key: "A", value: "1" }] } }) });
  t.same(nri.plugins, ["10-hang", "20-crash", "30-good"]);
  const { spec } = await nri.createContainer<{ process?: { env: string[] } }>({
    container: { id: "c", spec: {} },
  });
  t.same(spec.process?.env, ["A=1"]);
  await hung.closed;
  t.same(nri.plugins, ["30-good"]);
});

t.test("createContainer() ends by its signal, and the plugin stays", async (t) => {
  const { nri, plugin } = await nriRig(t);
  const controller = new AbortController();
  await plugin("10-slow", {
    createContainer: async () => {
      controller.abort();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return {};
    },
  });
  await t.rejects(nri.createContainer(subject, { signal: controller.signal }), { code: "CANCELED" });
  t.same(nri.plugins, ["10-slow"]);
});

t.test("validators see the whole adjustment and may refuse it", async (t) => {
  const { nri, plugin } = await nriRig(t, { requestTimeoutMs: 200 });
  let verdict: () => Promise<object> = async () => ({});
  await plugin("10-set", {
    createContainer: async () => ({ adjust: { env: [{ key: "A", value: "1" }], args: ["x"] } }),
  });
  await plugin("90-check", {
    configure: async () => ({ events: bits(Event.VALIDATE_CONTAINER_ADJUSTMENT) }),
    validateContainerAdjustment: async ({ adjust, container, owners, plugins }) => {
      t.match(adjust, { env: [{ key: "A" }], args: ["x"] });
      t.same(container?.env, [], "the container as it was");
      t.equal(owners?.owners["c"]?.simple[7], "10-set");
      t.equal(owners?.owners["c"]?.compound[6]?.owners["A"], "10-set");
      t.equal(plugins.length, 2);
      return await verdict();
    },
  });
  await nri.createContainer(subject);
  verdict = async () => ({ reject: true, reason: "no" });
  await t.rejects(nri.createContainer(subject), {
    code: "PERMISSION_DENIED",
    reason: "nri-rejected",
    message: 'validation error: validator "90-check" rejected container adjustment, reason: no',
  });
  verdict = () => new Promise(() => undefined);
  await t.rejects(nri.createContainer(subject), { code: "PERMISSION_DENIED", reason: "nri-rejected" });
  t.same(nri.plugins, ["10-set"]);
});

t.test("a plugin that comes is told all that runs, in parts where that is much", async (t) => {
  const spec = {
    process: { env: Array.from({ length: 1000 }, (_, index) => `V${index}=${"x".repeat(1000)}`) },
  };
  const containers = Array.from({ length: 9 }, (_, index) => ({ id: `c${index}`, spec }));
  const { nri, plugin, requests, socketPath } = await nriRig(t, {
    currentState: async () => ({ pods: [pod, { id: "q" }], containers }),
  });
  const parts: string[] = [];
  await plugin("10-sync", {
    synchronize: async ({ pods, containers, more }) => {
      parts.push(`${pods.length} ${containers.length} ${more}`);
      return { more, update: more ? [] : [{ containerId: "c3", ignoreFailure: true }] };
    },
  });
  t.same(parts, ["2 3 true", "0 3 true", "0 3 false"]);
  await until(() => requests.length === 1);
  t.match(requests, [{ plugin: "10-sync", updates: [{ containerId: "c3", isFailureIgnored: true }] }]);
  const simple = await connectPlugin({
    socketPath,
    name: "20-simple",
    handlers: { synchronize: async () => ({ more: false }) },
  });
  await simple.closed;
  t.same(nri.plugins, ["10-sync"], "one that takes no parts is disconnected");
});

t.test("holdSynchronization() keeps plugins from joining in the middle of a creation", async (t) => {
  let calls = 0;
  const { nri, socketPath } = await nriRig(t, {
    currentState: async () => {
      calls += 1;
      return { pods: [], containers: [] };
    },
  });
  const first = nri.holdSynchronization();
  const second = nri.holdSynchronization();
  let configured = (): void => undefined;
  const isConfigured = new Promise<void>((resolve) => {
    configured = resolve;
  });
  await connectPlugin({
    socketPath,
    name: "10-late",
    handlers: {
      configure: async () => {
        configured();
        return {};
      },
    },
  });
  await isConfigured;
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await nri.createContainer(subject);
  t.same([calls, nri.plugins], [0, []]);
  second[Symbol.dispose]();
  await until(() => nri.plugins.length === 1);
  t.equal(calls, 1);
});

t.test("a plugin may ask for updates and evictions by itself", async (t) => {
  const asked: unknown[] = [];
  const { plugin, socketPath } = await nriRig(t, {
    onRequest: async (request) => {
      asked.push(request);
      return ["gone", "forgiven"];
    },
  });
  const { runtime } = await plugin("10-ask", {});
  const { failed } = await runtime.call(Runtime.method.updateContainers, {
    update: [
      { containerId: "gone" },
      { containerId: "forgiven", ignoreFailure: true },
      { containerId: "good" },
    ],
    evict: [{ containerId: "bad", reason: "memory" }],
  });
  t.same(
    failed.map(({ containerId }) => containerId),
    ["gone"],
  );
  t.match(asked, [
    { plugin: "10-ask", updates: [{}, {}, {}], evictions: [{ containerId: "bad", reason: "memory" }] },
  ]);
  const early = await connectPlugin({
    socketPath,
    name: "20-early",
    handlers: { configure: () => new Promise(() => undefined) },
  });
  await t.rejects(early.runtime.call(Runtime.method.updateContainers, {}), { code: "FAILED_PRECONDITION" });
});

t.test("installed plugins are started with their name, place, file 3 and configuration", async (t) => {
  const program = fileURLToPath(new URL("./installed-plugin.js", import.meta.url));
  const script = `#!${process.execPath}\nimport(${JSON.stringify(program)});\n`;
  const { nri } = await nriRig(t, {
    registrationTimeoutMs: 3000,
    prepare: async (folder) => {
      const put = async (name: string, text: string): Promise<void> => {
        await writeFile(join(folder, "plugins", name), text);
        await chmod(join(folder, "plugins", name), 0o755);
      };
      await put("20-first", script);
      await put("10-second", script);
      await put("30-false", "#!/bin/false\n");
      await put("40-nothing", "#!/no/such/program\n");
      await put("bad", script);
      await put("5-bad", script);
      await writeFile(join(folder, "plugins", "60-notexecutable"), script);
      await writeFile(join(folder, "conf.d", "20-first.conf"), "one");
      await writeFile(join(folder, "conf.d", "first.conf"), "not this");
      await writeFile(join(folder, "conf.d", "second.conf"), "two");
    },
  });
  t.same(nri.plugins, ["10-second", "20-first"]);
  const { spec } = await nri.createContainer<{ process?: { env: string[] } }>({
    container: { id: "c", spec: {} },
  });
  t.same(
    spec.process?.env.map((text) => text.replace(/PID=.*/, "PID")),
    [
      "second=10 two NRI_PLUGIN_IDX,NRI_PLUGIN_NAME,NRI_PLUGIN_SOCKET PID",
      "first=20 one NRI_PLUGIN_IDX,NRI_PLUGIN_NAME,NRI_PLUGIN_SOCKET PID",
    ],
  );
  const pids = (spec.process?.env ?? []).map((text) => Number(/PID=(\d+)/.exec(text)?.[1]));
  await nri.close();
  await nri.close();
  for (const pid of pids) t.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

t.test("strangers on the socket are disconnected and nothing else happens", async (t) => {
  const { nri, socketPath, plugin } = await nriRig(t, { registrationTimeoutMs: 150 });
  const closed = async (bytes: Buffer): Promise<void> => {
    const socket = connect(socketPath);
    socket.on("error", () => undefined);
    socket.resume();
    socket.write(bytes);
    await once(socket, "close");
  };
  const frame = (id: number, length: number, payload: Buffer): Buffer => {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(id, 0);
    header.writeUInt32BE(length, 4);
    return Buffer.concat([header, payload]);
  };
  await closed(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  await closed(frame(2, 0xffff_ffff, Buffer.alloc(100)));
  await closed(frame(2, 0, Buffer.alloc(0)));
  await closed(frame(77, 5, Buffer.from("hello")));
  await closed(frame(2, 10, Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 9, 9])));
  const names = ["1-x", "xx-x", "10-", "10-a b", "10-a/b", `10-${"x".repeat(129)}`];
  for (const name of names) {
    await t.rejects(connectPlugin({ socketPath, name, handlers: {} }), { code: "INVALID_ARGUMENT" }, name);
  }
  const odd = await connectPlugin({
    socketPath,
    name: "10-odd",
    handlers: { configure: async () => ({ events: -1 }) },
  });
  await odd.closed;
  t.same(nri.plugins, []);
  await plugin("10-good", {});
  await nri.createContainer(subject);
});

t.test("at most 64 plugins from outside are connected at once", async (t) => {
  const { socketPath } = await nriRig(t);
  const sockets = Array.from({ length: 66 }, () => connect(socketPath));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  let ended = 0;
  for (const socket of sockets) {
    socket.resume();
    socket.on("close", () => {
      ended += 1;
    });
    socket.on("error", () => undefined);
  }
  await until(() => ended === 2);
  t.equal(ended, 2);
});
