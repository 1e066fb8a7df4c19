import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import {
  ContainerEventType,
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxState,
  RunPodSandboxRequestSchema,
  UpdatePodSandboxResourcesRequestSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { deferred } from "../../src/async/index.js";
import {
  CRI_NAMESPACE,
  CriStore,
  type PodContainers,
  type PodParts,
  type PodRecord,
  Pods,
  recover,
} from "../../src/cri/index.js";
import { unavailable } from "../../src/errors/index.js";
import { LeaseTable, openMetadata } from "../../src/metadata/index.js";
import type { Nri } from "../../src/nri/index.js";

const now = (): bigint => 1_700_000_000_000_000_000n;
const signal = new AbortController().signal;

/** What the world outside of the pods is asked for, in order; a step whose name is in `failing` throws. */
class World {
  readonly calls: string[] = [];
  readonly failing = new Set<string>();
  readonly events: string[] = [];
  readonly running = new Map<string, ReturnType<typeof deferred<void>>>();

  step(name: string): void {
    this.calls.push(name);
    if (this.failing.has(name)) throw unavailable(`${name} fails`, { reason: "test" });
  }
}

interface Rig {
  readonly world: World;
  readonly parts: PodParts;
  readonly pods: Pods;
  readonly reopened: () => Promise<{ parts: PodParts; pods: Pods }>;
}

async function openRig(t: Test): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-pods-"));
  const world = new World();
  let metadata = await openMetadata({ directory: join(folder, "metadata") });
  const opened: Pods[] = [];
  const open = (): { parts: PodParts; pods: Pods } => {
    const parts = partsOf({ world, folder, metadata });
    const pods = new Pods(parts);
    opened.push(pods);
    return { parts, pods };
  };
  t.teardown(async () => {
    for (const pods of opened) await pods[Symbol.asyncDispose]();
    await metadata.close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    world,
    ...open(),
    reopened: async () => {
      for (const pods of opened.splice(0)) await pods[Symbol.asyncDispose]();
      await metadata.close();
      metadata = await openMetadata({ directory: join(folder, "metadata") });
      return open();
    },
  };
}

function partsOf(options: {
  readonly world: World;
  readonly folder: string;
  readonly metadata: Awaited<ReturnType<typeof openMetadata>>;
}): PodParts {
  const { world, folder, metadata } = options;
  const store = new CriStore({ metadata, now });
  const step = (name: string) => async (): Promise<void> => world.step(name);
  const containers: PodContainers = {
    stopOfPod: step("stop containers"),
    removeOfPod: step("remove containers"),
    recover: step("recover container"),
    statusOf: async () => ({}),
  };
  const handler = {
    name: "runc",
    runtime: "io.containerd.runc.v2",
    runtimeType: "io.containerd.runc.v2",
    sandboxer: "podsandbox",
  };
  return {
    store,
    leases: new LeaseTable({ metadata, now }),
    binding: {
      mount: async () => undefined,
      umount: async () => undefined,
    } as unknown as PodParts["binding"],
    handlers: { all: [], find: () => handler as ReturnType<PodParts["handlers"]["find"]> },
    folders: { root: join(folder, "root"), state: join(folder, "state") },
    networks: {
      newNetns: ({ linux }) =>
        linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE ? undefined : "/run/netns/x",
      pin: step("pin"),
      unpin: step("unpin"),
      add: async () => {
        world.step("add");
        return { addresses: ["10.0.0.2", "fd00::2"], cniResult: {} };
      },
      remove: step("remove network"),
      collect: step("collect"),
    },
    containers,
    events: {
      publish: ({ type }) => {
        world.events.push(ContainerEventType[type]);
      },
    },
    nri: {
      runPodSandbox: step("plugins run"),
      stopPodSandbox: step("plugins stop"),
      removePodSandbox: step("plugins remove"),
      holdSynchronization: () => ({ [Symbol.dispose]: () => undefined }),
    } as unknown as Nri,
    runnerOf: () => ({
      start: async ({ record, rollback }) => {
        rollback.add("files", step("remove files"));
        world.step("files");
        rollback.add("task", async () => {
          world.step("kill");
          world.running.delete(record.id);
        });
        world.step("start");
        world.running.set(record.id, deferred());
        return { pid: 7, address: "", spec: undefined, processLabel: "", labels: { a: "b" } };
      },
      stop: async (id) => {
        world.step("kill");
        world.running.get(id)?.resolve();
      },
      release: step("release"),
      wait: async (id, { signal: ended }) => {
        const gone = deferred<void>();
        ended?.addEventListener("abort", () => gone.reject(ended.reason as Error));
        await Promise.race([world.running.get(id)?.promise, gone.promise]);
        world.step("clean up");
        world.running.delete(id);
      },
      remove: step("remove files"),
      find: async (id) => {
        world.step("find");
        return world.running.has(id)
          ? { state: "ready", pid: 7, address: "" }
          : { state: "not-ready", pid: 0, address: "" };
      },
      describe: async () => ({ processStatus: "running" }),
    }),
    now,
  };
}

function request(change: { network?: NamespaceMode; uid?: string } = {}) {
  const linux = { securityContext: { namespaceOptions: { network: change.network ?? NamespaceMode.POD } } };
  return create(RunPodSandboxRequestSchema, {
    config: create(PodSandboxConfigSchema, {
      metadata: { name: "web", uid: change.uid ?? "u", namespace: "default", attempt: 0 },
      labels: { app: "web" },
      linux,
    }),
  });
}

const leftOf = ({ parts }: Pick<Rig, "parts">) => ({
  pods: parts.store.pods.list().length,
  records: parts.store.pods.stored(() => undefined).length,
  leases: parts.leases.list({ namespace: CRI_NAMESPACE, filters: [] }).length,
});

t.test("runPodSandbox() makes, tells and shows a pod; stop and remove leave nothing", async (t) => {
  const rig = await openRig(t);
  const { world, pods } = rig;
  const { podSandboxId } = await pods.runPodSandbox(request(), { signal });
  t.strictSame(world.calls, ["pin", "add", "files", "start", "plugins run"]);
  const { status, info } = await pods.podSandboxStatus(
    { podSandboxId: podSandboxId.slice(0, 8), verbose: true } as never,
    { signal },
  );
  t.equal(status.state, PodSandboxState.SANDBOX_READY);
  t.match(JSON.parse(info!.info), { pid: 7, processStatus: "running", netNamespaceClosed: true });
  t.equal(
    (await pods.listPodSandbox({ filter: { labelSelector: { app: "web" } } } as never)).items.length,
    1,
  );
  await t.rejects(pods.runPodSandbox(request(), { signal }), { code: "ALREADY_EXISTS" });

  world.calls.length = 0;
  await pods.stopPodSandbox({ podSandboxId }, { signal });
  t.strictSame(
    world.calls.filter((one) => one !== "clean up"),
    ["stop containers", "kill", "plugins stop", "remove network", "release", "unpin"],
  );
  t.equal(rig.parts.store.pods.get(podSandboxId).state, "not-ready");
  world.calls.length = 0;
  await pods.stopPodSandbox({ podSandboxId }, { signal });
  t.strictSame(world.calls, ["stop containers"], "plugins are told once");
  await pods.removePodSandbox({ podSandboxId }, { signal });
  await pods.removePodSandbox({ podSandboxId }, { signal });
  await pods.stopPodSandbox({ podSandboxId }, { signal });
  t.strictSame(leftOf(rig), { pods: 0, records: 0, leases: 0 });
  t.strictSame(world.events, [
    "CONTAINER_CREATED_EVENT",
    "CONTAINER_STARTED_EVENT",
    "CONTAINER_STOPPED_EVENT",
    "CONTAINER_DELETED_EVENT",
  ]);
  await pods.runPodSandbox(request(), { signal });
});

const steps = ["pin", "add", "files", "start", "plugins run"];
const undo: Readonly<Record<string, string>> = {
  pin: "unpin",
  add: "remove network",
  files: "remove files",
  start: "kill",
  "plugins run": "plugins remove",
};

for (const [index, step] of steps.entries()) {
  t.test(`runPodSandbox() undoes all when the step "${step}" fails`, async (t) => {
    const rig = await openRig(t);
    rig.world.failing.add(step);
    await t.rejects(rig.pods.runPodSandbox(request(), { signal }), { code: "UNAVAILABLE" });
    const made = steps.slice(0, index + 1);
    t.strictSame(rig.world.calls, [...made, ...made.map((one) => undo[one]).reverse()]);
    t.strictSame(leftOf(rig), { pods: 0, records: 0, leases: 0 });
    rig.world.failing.clear();
    await rig.pods.runPodSandbox(request(), { signal });
    t.equal(leftOf(rig).pods, 1, "the name is free again");
  });

  t.test(`runPodSandbox() keeps a pod to remove when undoing "${step}" fails`, async (t) => {
    const rig = await openRig(t);
    rig.world.failing.add(step);
    rig.world.failing.add(undo[step]!);
    await t.rejects(rig.pods.runPodSandbox(request(), { signal }), { code: "UNAVAILABLE" });
    t.strictSame(leftOf(rig), { pods: 1, records: 1, leases: 1 });
    const pod = rig.parts.store.pods.list()[0]!;
    t.equal(pod.state, "unknown");
    rig.world.failing.clear();
    await rig.pods.removePodSandbox({ podSandboxId: pod.record.id }, { signal });
    t.strictSame(leftOf(rig), { pods: 0, records: 0, leases: 0 });
  });
}

t.test("runPodSandbox() undoes all when the client goes away", async (t) => {
  const rig = await openRig(t);
  const gone = new AbortController();
  gone.abort();
  await t.rejects(rig.pods.runPodSandbox(request(), { signal: gone.signal }));
  t.strictSame(leftOf(rig), { pods: 0, records: 0, leases: 0 });
});

t.test("runPodSandbox() on the host's network asks for none", async (t) => {
  const { pods, world } = await openRig(t);
  await pods.runPodSandbox(request({ network: NamespaceMode.NODE }), { signal });
  t.notOk(world.calls.includes("add"));
});

t.test("a pod whose process ends by itself becomes not ready and is told", async (t) => {
  const { pods, world, parts } = await openRig(t);
  const { podSandboxId } = await pods.runPodSandbox(request(), { signal });
  world.running.get(podSandboxId)!.resolve();
  while (parts.store.pods.get(podSandboxId).state === "ready") await new Promise(setImmediate);
  t.equal(parts.store.pods.get(podSandboxId).pid, 0);
  t.equal(world.events.at(-1), "CONTAINER_STOPPED_EVENT");
});

t.test("recover() shows what runs on, and removes what nobody owns", async (t) => {
  const rig = await openRig(t);
  const { podSandboxId: running } = await rig.pods.runPodSandbox(request({ uid: "1" }), { signal });
  const { podSandboxId: ended } = await rig.pods.runPodSandbox(request({ uid: "2" }), { signal });
  const orphan = join(rig.parts.folders.root, "sandboxes", "orphan");
  await mkdir(orphan, { recursive: true });
  await rig.parts.leases.create({
    namespace: CRI_NAMESPACE,
    id: "left",
    labels: { "io.cri-containerd.kind": "sandbox" },
  });
  await rig.parts.leases.create({ namespace: CRI_NAMESPACE, id: "others", labels: {} });
  const later = await rig.reopened();
  rig.world.running.delete(ended);
  await recover(later);
  t.equal(later.parts.store.pods.get(running).state, "ready");
  t.equal(later.parts.store.pods.get(ended).state, "not-ready");
  t.strictSame(later.parts.store.pods.get(running).record.addresses, ["10.0.0.2", "fd00::2"]);
  t.strictSame(await readdir(join(rig.parts.folders.root, "sandboxes")), []);
  t.strictSame(
    later.parts.leases
      .list({ namespace: CRI_NAMESPACE, filters: [] })
      .map(({ id }) => id)
      .sort(),
    [running, ended, "others"].sort(),
  );
  await t.rejects(later.pods.runPodSandbox(request({ uid: "1" }), { signal }), { code: "ALREADY_EXISTS" });
  await later.pods.removePodSandbox({ podSandboxId: running }, { signal });
  await later.pods.removePodSandbox({ podSandboxId: ended }, { signal });
  t.equal(later.parts.store.pods.list().length, 0);
});

t.test("recover() shows a pod that can't be asked as unknown, which can be removed", async (t) => {
  const rig = await openRig(t);
  const { podSandboxId } = await rig.pods.runPodSandbox(request(), { signal });
  const later = await rig.reopened();
  rig.world.failing.add("find");
  await recover(later);
  t.equal(later.parts.store.pods.get(podSandboxId).state, "unknown");
  await later.pods.removePodSandbox({ podSandboxId }, { signal });
  t.strictSame(leftOf(later), { pods: 0, records: 0, leases: 0 });
});

t.test("updatePodSandboxResources() is kept over a restart", async (t) => {
  const rig = await openRig(t);
  const { podSandboxId } = await rig.pods.runPodSandbox(request(), { signal });
  Object.assign(rig.parts.nri!, {
    updatePodSandbox: async () => undefined,
    postUpdatePodSandbox: async () => undefined,
  });
  await rig.pods.updatePodSandboxResources(
    create(UpdatePodSandboxResourcesRequestSchema, { podSandboxId, resources: { cpuShares: 5n } }),
  );
  const later = await rig.reopened();
  await recover(later);
  const record: PodRecord = later.parts.store.pods.get(podSandboxId).record;
  t.match(record.updated, { resources: { cpu_shares: "5" }, overhead: null });
});
