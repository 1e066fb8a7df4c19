import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Runtime } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import type { Config } from "../../src/daemon/config-keys.js";
import { startNri } from "../../src/daemon/nri-parts.js";
import { Startup } from "../../src/daemon/startup.js";
import { notFound } from "../../src/errors/index.js";
import type { ContainerRow } from "../../src/metadata/index.js";
import type { CreateTask, TaskManager } from "../../src/runtime/index.js";
import { until } from "../nri/rig.js";
import { connectPlugin, type PluginHandlers } from "../nri/test-plugin.js";

const type = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

function any(json: string) {
  return { typeUrl: type, value: Buffer.from(json) };
}

function request(spec: string): CreateTask {
  return {
    namespace: "default",
    id: "c",
    runtime: "io.containerd.runc.v2",
    runtimeOptions: undefined,
    taskOptions: undefined,
    spec: any(spec),
    rootfs: [],
    io: { stdin: "", stdout: "", stderr: "", terminal: false },
    checkpointFolder: "",
    sandboxId: "",
    sandboxAddress: "",
  };
}

async function rig(t: Test, options: { disable?: boolean; fails?: boolean; validator?: boolean } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-nri-"));
  const startup = new Startup();
  t.teardown(async () => {
    await startup.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const calls: string[] = [];
  const text = (value: { readonly value: Uint8Array } | undefined) =>
    Buffer.from(value?.value ?? []).toString();
  // Only what is called here: a task "c" and another one, "other".
  const manager = {
    create: async (created: CreateTask) => {
      calls.push(`create ${text(created.spec)}`);
      if (options.fails) throw notFound("runtime: not found");
      return 7;
    },
    start: async () => 7,
    delete: async () => ({ pid: 7, exitStatus: 3, exitedAt: undefined }),
    list: () => [
      { namespace: "default", id: "c", pid: 7, bundle: "", sandboxId: "" },
      { namespace: "default", id: "other", pid: 8, bundle: "", sandboxId: "" },
      { namespace: "k8s.io", id: "pod", pid: 9, bundle: "", sandboxId: "" },
    ],
    update: async (update: { id: string; resources?: { value: Uint8Array } }) => {
      calls.push(`update ${update.id} ${text(update.resources)}`);
    },
    kill: async ({ id, signalNumber }: { id: string; signalNumber: number }) => {
      calls.push(`kill ${id} ${signalNumber}`);
    },
  } as unknown as TaskManager;
  const socketPath = join(folder, "nri", "nri.sock");
  const config = {
    cdi: { specDirs: [] },
    nri: {
      disable: options.disable ?? false,
      disableConnections: false,
      socketPath,
      pluginPath: join(folder, "none"),
      pluginConfigPath: join(folder, "none"),
      registrationTimeoutMs: 5000,
      requestTimeoutMs: 2000,
    },
    nriValidator: {
      enable: options.validator ?? false,
      rejectOciHookAdjustment: true,
      rejectRuntimeDefaultSeccompAdjustment: false,
      rejectUnconfinedSeccompAdjustment: false,
      rejectCustomSeccompAdjustment: false,
      rejectNamespaceAdjustment: false,
      rejectSysctlAdjustment: false,
      requiredPlugins: options.validator ? ["needed"] : [],
      tolerateMissingPluginsAnnotation: undefined,
    },
  } as unknown as Config;
  const parts = await startNri(startup, {
    config,
    version: "v1",
    tasks: manager,
    containerOf: ({ id }) =>
      ({ id, labels: { of: id }, spec: any('{"process":{"env":["A=1"]}}') }) as unknown as ContainerRow,
    cri: {
      namespace: "k8s.io",
      state: async () => ({ pods: [{ id: "p" }], containers: [{ id: "pod", podId: "p", spec: {} }] }),
    },
  });
  const plugin = async (handlers: PluginHandlers) => {
    const connected = await connectPlugin({ socketPath, name: "10-test", handlers });
    await until(() => parts.nri?.plugins.length === 1);
    return connected;
  };
  return { ...parts, manager, calls, plugin };
}

t.test("startNri() leaves tasks alone when NRI is disabled", async (t) => {
  const { nri, tasks, manager } = await rig(t, { disable: true });
  t.equal(nri, undefined);
  t.equal(tasks, manager);
});

t.test("tasks pass as they are without plugins", async (t) => {
  const { tasks, calls } = await rig(t);
  const odd = '{ "limit": 18446744073709551615, "limit2": 1 }';
  t.equal(await tasks.create(request(odd)), 7);
  t.same(calls, [`create ${odd}`]);
  t.equal((await tasks.delete({ namespace: "default", id: "c" })).exitStatus, 3);
});

t.test("plugins see tasks of containerd's API from creation to removal, and adjust them", async (t) => {
  const { tasks, calls, plugin } = await rig(t);
  const seen: string[] = [];
  let adjust: object | undefined;
  const { runtime } = await plugin({
    synchronize: async ({ pods, containers }) => {
      seen.push(
        `sync ${pods.map(({ id }) => id)} ${containers.map(({ id, labels }) => `${id}:${labels["of"]}`)}`,
      );
      return {};
    },
    createContainer: async ({ container, pod }) => {
      seen.push(`create ${container?.id} ${container?.args} "${pod?.id}"`);
      return {
        ...(adjust !== undefined && { adjust }),
        update: [{ containerId: "other", linux: { resources: { cpu: { shares: { value: 2n } } } } }],
        evict: [{ containerId: "other", reason: "why" }],
      };
    },
    postCreateContainer: async ({ container }) => {
      seen.push(`created ${container?.pid}`);
      return {};
    },
    startContainer: async ({ container }) => {
      seen.push(`start ${container?.env}`);
      return {};
    },
    postStartContainer: async ({ container }) => {
      seen.push(`started ${container?.pid}`);
      return {};
    },
    updateContainer: async ({ linuxResources }) => {
      seen.push(`update ${linuxResources?.memory?.limit?.value}`);
      return { update: [{ containerId: "c", linux: { resources: { memory: { limit: { value: 9n } } } } }] };
    },
    stopContainer: async ({ container }) => {
      seen.push(`stop ${container?.exitCode}`);
      return {};
    },
    removeContainer: async () => {
      seen.push("remove");
      return {};
    },
  });
  const spec = '{"process":{"args":["x"],"rlimits":[{"type":"R","hard":18446744073709551615,"soft":1}]}}';
  await tasks.create(request(spec));
  t.equal(calls.at(-1), `create ${spec}`, "the same bytes where nothing was adjusted");
  adjust = { args: ["y"] };
  await tasks.create(request(spec));
  t.equal(
    calls.at(-1),
    'create {"process":{"args":["y"],"rlimits":[{"type":"R","hard":18446744073709550000,"soft":1}]}}',
    "no number is above the greatest u64",
  );
  t.same(calls.slice(0, 2), ['update other {"cpu":{"shares":2}}', "kill other 9"]);
  const name = { namespace: "default", id: "c" };
  await tasks.start({ ...name, execId: "" });
  await tasks.update({ ...name, resources: any('{"memory":{"limit":5}}'), annotations: {} });
  t.equal(calls.at(-1), 'update c {"memory":{"limit":9}}');
  await tasks.delete(name);
  t.same(seen, [
    "sync p pod:undefined,c:c,other:other",
    'create c x ""',
    "created 7",
    'create c x ""',
    "created 7",
    "start A=1",
    "started 7",
    "update 5",
    "stop 3",
    "remove",
  ]);
  const { failed } = await runtime.call(Runtime.method.updateContainers, {
    update: [{ containerId: "nobody" }, { containerId: "other" }],
  });
  t.same(
    failed.map(({ containerId }) => containerId),
    ["nobody"],
  );
});

t.test("a creation that fails takes back what plugins gave", async (t) => {
  const { tasks, plugin } = await rig(t, { fails: true });
  const seen: string[] = [];
  await plugin({
    stopContainer: async () => {
      seen.push("stop");
      return {};
    },
    removeContainer: async () => {
      seen.push("remove");
      return {};
    },
  });
  await t.rejects(tasks.create(request("{}")), { code: "NOT_FOUND" });
  t.same(seen, ["stop", "remove"]);
  await t.rejects(tasks.create(request("{")), { code: "INVALID_ARGUMENT" });
});

t.test("the default validator holds without plugins, too", async (t) => {
  const { tasks, calls } = await rig(t, { validator: true });
  await t.rejects(tasks.create(request("{}")), { code: "PERMISSION_DENIED", reason: "nri-rejected" });
  t.same(calls, []);
});
