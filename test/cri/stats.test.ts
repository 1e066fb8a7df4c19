import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import {
  ContainerStatsRequestSchema,
  ListContainerStatsRequestSchema,
  ListPodSandboxStatsRequestSchema,
  PodSandboxStatsRequestSchema,
  StreamContainerStatsRequestSchema,
  StreamPodSandboxStatsRequestSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { type CriContainer, criStats, type Pod, SnapshotUsages } from "../../src/cri/index.js";
import { cgroupFacts, workingSet } from "../../src/cri/stats-cgroup.js";
import { cgroupPath, podCgroupFacts } from "../../src/cri/stats-cgroup-folder.js";
import { CpuRates } from "../../src/cri/stats-cpu-rate.js";
import { interfacesOf, parseInterfaces } from "../../src/cri/stats-network.js";
import { containerOf, FakeTasks, GIB, lookupOf, metricsV1, metricsV2, podOf } from "./stats-rig.js";

const SECOND_NS = 1_000_000_000n;
const { signal } = new AbortController();

interface RigOptions {
  readonly pods: readonly Pod[];
  readonly containers: readonly CriContainer[];
  readonly cgroupRoot?: string;
}

function statsRig(t: Test, { pods, containers, cgroupRoot = "/nowhere" }: RigOptions) {
  const tasks = new FakeTasks();
  const snapshotter = {
    async *walk() {
      for (const { record } of containers) yield { name: record.id, kind: "active" } as never;
    },
    usage: async (name: string) => ({ size: 100 + name.length, inodes: 3 }),
  };
  const now = (): bigint => tasks.at;
  const usages = new SnapshotUsages({
    snapshotters: [{ name: "lazy", folder: "/tmp", snapshotter, isLazy: true }],
    now,
  });
  const calls = criStats({
    pods: lookupOf(pods),
    containers: lookupOf(containers),
    tasks,
    usages,
    snapshotterOf: () => "lazy",
    cgroupRoot,
    now,
    collectPeriodMs: 3_600_000,
  });
  t.teardown(async () => await calls[Symbol.asyncDispose]());
  return { tasks, usages, calls };
}

t.test("containerStats() tells CPU, memory, swap and the writable layer of a container", async (t) => {
  const { tasks, usages, calls } = statsRig(t, {
    pods: [podOf("pod-1")],
    containers: [containerOf("one", { podId: "pod-1", labels: { app: "web" } })],
  });
  tasks.data.set("one", metricsV1(2n * SECOND_NS));
  await usages.collect({ signal });
  const request = create(ContainerStatsRequestSchema, { containerId: "on" });
  const first = (await calls.containerStats(request, { signal })).stats!;
  t.match(first, {
    attributes: {
      id: "one",
      metadata: { name: "name-one", attempt: 1 },
      labels: { app: "web" },
      annotations: { note: "kept" },
    },
    cpu: { timestamp: tasks.at, usageCoreNanoSeconds: { value: 2n * SECOND_NS }, usageNanoCores: undefined },
    memory: {
      timestamp: tasks.at,
      workingSetBytes: { value: 750n },
      availableBytes: { value: GIB - 750n },
      usageBytes: { value: 1000n },
      rssBytes: { value: 600n },
      pageFaults: { value: 12n },
      majorPageFaults: { value: 3n },
    },
    swap: { swapUsageBytes: { value: 100n }, swapAvailableBytes: undefined },
    writableLayer: {
      timestamp: tasks.at,
      fsId: { mountpoint: "/tmp" },
      usedBytes: { value: 103n },
      inodesUsed: { value: 3n },
    },
    io: undefined,
  });
  tasks.at += 4n * SECOND_NS;
  tasks.data.set("one", metricsV1(3n * SECOND_NS));
  const second = (await calls.containerStats(request, { signal })).stats!;
  t.equal(second.cpu?.usageNanoCores?.value, SECOND_NS / 4n, "one second of CPU in four");
});

t.test(
  "containerStats() tells pressure where the kernel does, and no limit as nothing available",
  async (t) => {
    const containers = [containerOf("two", { podId: "p" })];
    const { tasks, calls } = statsRig(t, { pods: [podOf("p")], containers });
    tasks.data.set("two", metricsV2(1500n));
    const request = create(ContainerStatsRequestSchema, { containerId: "two" });
    const psi = {
      Some: { Total: 7_000_000_000n, Avg10: 1.5, Avg60: 0.5, Avg300: 0.25 },
      Full: { Total: 2_000_000_000n },
    };
    t.match((await calls.containerStats(request, { signal })).stats, {
      cpu: { usageCoreNanoSeconds: { value: 1_500_000n }, psi },
      memory: { availableBytes: { value: 0n }, psi },
      swap: { swapUsageBytes: { value: 30n }, swapAvailableBytes: { value: 70n } },
      io: { psi },
    });
  },
);

t.test("containers that don't run, or whose shim fails, are told without their usage", async (t) => {
  const containers = [
    containerOf("ended", { podId: "p", state: "exited" }),
    containerOf("gone", { podId: "p" }),
    containerOf("odd", { podId: "p" }),
    containerOf("fine", { podId: "p" }),
  ];
  const { tasks, calls } = statsRig(t, { pods: [podOf("p")], containers });
  tasks.data.set("fine", metricsV1(1n));
  tasks.data.set("odd", { typeUrl: "some.other.Metrics", value: new Uint8Array() });
  const { stats = [] } = await calls.listContainerStats(create(ListContainerStatsRequestSchema), { signal });
  t.same(
    stats.map(({ attributes, cpu, writableLayer }) => [
      attributes?.id,
      cpu !== undefined,
      writableLayer !== undefined,
    ]),
    [
      ["ended", false, true],
      ["gone", false, true],
      ["odd", false, true],
      ["fine", true, true],
    ],
  );
  const missing = create(ContainerStatsRequestSchema, { containerId: "none" });
  await t.rejects(calls.containerStats(missing, { signal }), { code: "NOT_FOUND" });
  const empty = create(ContainerStatsRequestSchema);
  await t.rejects(calls.containerStats(empty, { signal }), { code: "NOT_FOUND" });
});

t.test("listContainerStats() takes ids, their beginnings, pods and labels as filters", async (t) => {
  const containers = [
    containerOf("aa-1", { podId: "pod-a", labels: { app: "web", tier: "1" } }),
    containerOf("bb-1", { podId: "pod-a", labels: { app: "db" } }),
    containerOf("bb-2", { podId: "pod-b", labels: { app: "web" } }),
  ];
  const { calls } = statsRig(t, { pods: [podOf("pod-a"), podOf("pod-b")], containers });
  const listed = async (filter: object) => {
    const request = create(ListContainerStatsRequestSchema, { filter });
    const { stats = [] } = await calls.listContainerStats(request, { signal });
    return stats.map(({ attributes }) => attributes?.id);
  };
  t.same(await listed({}), ["aa-1", "bb-1", "bb-2"]);
  t.same(await listed({ id: "aa" }), ["aa-1"]);
  t.same(await listed({ id: "bb" }), [], "the beginning of two ids is none's");
  t.same(await listed({ podSandboxId: "pod-a" }), ["aa-1", "bb-1"]);
  t.same(await listed({ labelSelector: { app: "web" } }), ["aa-1", "bb-2"]);
  t.same(await listed({ labelSelector: { app: "web" }, podSandboxId: "pod-b" }), ["bb-2"]);
  t.same(await listed({ labelSelector: { __proto__x: "1" } }), []);
  t.same(await listed({ labelSelector: { constructor: "" } }), []);
});

t.test("streams tell many containers and pods in parts", async (t) => {
  const names = Array.from({ length: 250 }, (_, index) => `c-${String(index).padStart(3, "0")}`);
  const containers = names.map((name) => containerOf(name, { podId: `p${name}` }));
  const { tasks, calls } = statsRig(t, { pods: names.map((name) => podOf(`p${name}`)), containers });
  for (const name of names) tasks.data.set(name, metricsV1(1n));
  const sizes = [];
  for await (const one of calls.streamContainerStats(create(StreamContainerStatsRequestSchema), { signal })) {
    sizes.push(one.containerStats?.length);
  }
  t.same(sizes, [100, 100, 50]);
  let pods = 0;
  for await (const one of calls.streamPodSandboxStats(create(StreamPodSandboxStatsRequestSchema), {
    signal,
  })) {
    pods += one.podSandboxStats?.length ?? 0;
  }
  t.equal(pods, 250);
});

t.test("podSandboxStats() adds up containers and pause where the pod has no cgroup", async (t) => {
  const { tasks, calls } = statsRig(t, {
    pods: [
      podOf("pod", { pid: process.pid, netns: "/var/run/netns/x" }),
      podOf("host"),
      podOf("old", { state: "not-ready" }),
    ],
    containers: [
      containerOf("one", { podId: "pod" }),
      containerOf("two", { podId: "pod" }),
      containerOf("x", { podId: "host" }),
    ],
  });
  for (const id of ["one", "two", "pod"]) tasks.data.set(id, metricsV1(SECOND_NS));
  const stats = await calls.podSandboxStats(create(PodSandboxStatsRequestSchema, { podSandboxId: "pod" }), {
    signal,
  });
  t.match(stats.stats, {
    attributes: { id: "pod", metadata: { name: "name-pod", namespace: "space" } },
    linux: {
      cpu: { usageCoreNanoSeconds: { value: 3n * SECOND_NS } },
      memory: { usageBytes: { value: 3000n }, workingSetBytes: { value: 2250n } },
      process: { processCount: { value: 10n } },
      network: { timestamp: tasks.at },
    },
  });
  t.equal(stats.stats?.linux?.containers?.length, 2);
  const host = await calls.podSandboxStats(create(PodSandboxStatsRequestSchema, { podSandboxId: "host" }), {
    signal,
  });
  t.equal(host.stats?.linux?.network, undefined, "the host's network is not the pod's");
  const listed = await calls.listPodSandboxStats(create(ListPodSandboxStatsRequestSchema), { signal });
  t.same(
    listed.stats?.map(({ attributes }) => attributes?.id),
    ["pod", "host"],
  );
  const one = create(ListPodSandboxStatsRequestSchema, { filter: { id: "hos" } });
  t.equal((await calls.listPodSandboxStats(one, { signal })).stats?.length, 1);
  const old = create(PodSandboxStatsRequestSchema, { podSandboxId: "old" });
  await t.rejects(calls.podSandboxStats(old, { signal }), { code: "UNAVAILABLE" });
  const none = create(PodSandboxStatsRequestSchema, { podSandboxId: "none" });
  await t.rejects(calls.podSandboxStats(none, { signal }), { code: "NOT_FOUND" });
});

t.test("podSandboxStats() reads the pod's own cgroup of either version", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "lazuli-cgroup-"));
  t.teardown(async () => await rm(root, { recursive: true, force: true }));
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(root, path, ".."), { recursive: true });
    await writeFile(join(root, path), text);
  };
  await write("kube/v2/cpu.stat", "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 1\n");
  await write("kube/v2/cpu.pressure", "some avg10=1.00 avg60=0.50 avg300=0.10 total=42\n");
  await write("kube/v2/memory.current", "9000\n");
  await write("kube/v2/memory.max", "max\n");
  await write("kube/v2/memory.stat", "anon 4000\nfile 5000\ninactive_file 1000\npgfault 7\n");
  await write("cpuacct/kube/v1/cpuacct.usage", "123456\n");
  await write("memory/kube/v1/memory.usage_in_bytes", "8000\n");
  await write("memory/kube/v1/memory.limit_in_bytes", "10000\n");
  await write("memory/kube/v1/memory.stat", "rss 1\ntotal_rss 400\ntotal_inactive_file 500\n");
  const second = await podCgroupFacts({ root, parent: "/kube/v2" });
  t.match(second?.cpu, {
    usageNs: 5_000_000n,
    pressure: { some: { total: 42_000n, avg10: 1 }, full: undefined },
  });
  t.match(second?.memory, { usage: 9000n, limit: undefined, rss: 4000n, pageFaults: 7n });
  t.equal(workingSet(second!.memory!), 8000n);
  const first = await podCgroupFacts({ root, parent: "/kube/v1" });
  t.match(first, {
    cpu: { usageNs: 123_456n },
    memory: { usage: 8000n, limit: 10_000n, rss: 400n, swap: undefined },
  });
  for (const parent of ["", "/", "/kube/none", "/../../etc", "kube/../../x"]) {
    t.equal(await podCgroupFacts({ root, parent }), undefined, parent);
  }
  t.equal(
    cgroupPath("kubepods-burstable-pod1.slice"),
    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
  );
  const pods = [podOf("pod", { cgroupParent: "/kube/v1" })];
  const { calls } = statsRig(t, { pods, containers: [], cgroupRoot: root });
  const request = create(PodSandboxStatsRequestSchema, { podSandboxId: "pod" });
  t.match((await calls.podSandboxStats(request, { signal })).stats?.linux, {
    cpu: { usageCoreNanoSeconds: { value: 123_456n } },
    memory: { workingSetBytes: { value: 7500n }, availableBytes: { value: 2500n } },
  });
});

t.test("cgroupFacts() refuses what is of no cgroup, and bytes that are no message", async (t) => {
  t.throws(() => cgroupFacts({ typeUrl: "io.containerd.wasm.Metrics", value: new Uint8Array() }), {
    code: "INVALID_ARGUMENT",
    reason: "metrics-unknown",
  });
  const type = "io.containerd.cgroups.v1.Metrics";
  t.throws(() => cgroupFacts({ typeUrl: type, value: Uint8Array.of(0xff, 0xff, 0xff) }));
  t.match(cgroupFacts({ typeUrl: type, value: new Uint8Array() }), {
    cpu: undefined,
    memory: undefined,
    pids: undefined,
    devices: [],
  });
});

t.test("CpuRates tell no rate from one sample, from a new cgroup, or from no time", async (t) => {
  const rates = new CpuRates();
  t.equal(rates.note("a", { usageNs: 10n, at: 0n }), undefined);
  t.equal(rates.note("a", { usageNs: 10n + SECOND_NS, at: 2n * SECOND_NS }), SECOND_NS / 2n);
  t.equal(rates.note("a", { usageNs: 5n, at: 3n * SECOND_NS }), undefined, "started anew");
  t.equal(rates.note("a", { usageNs: 6n, at: 3n * SECOND_NS + 1n }), undefined, "too close");
  t.equal(rates.note("a", { usageNs: 5n, at: 2n * SECOND_NS }), undefined, "a clock that went back");
  t.equal(rates.note("b", { usageNs: 0n, at: 0n }), undefined);
  t.equal(rates.note("b", { usageNs: 20n * SECOND_NS, at: 20n * SECOND_NS }), SECOND_NS);
  t.equal(
    rates.note("b", { usageNs: 20n * SECOND_NS, at: 21n * SECOND_NS }),
    0n,
    "of now, not of the first sample",
  );
  rates.keep(new Set(["a"]));
  t.equal(rates.note("b", { usageNs: 21n * SECOND_NS, at: 30n * SECOND_NS }), undefined);
});

t.test("interfacesOf() reads the counters of a process's network namespace", async (t) => {
  const text = [
    "Inter-|   Receive                                                |  Transmit",
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
    "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0",
    "  eth0:  100   2 3 4 0 0 0 0  500 6 7 8 0 0 0 0",
    "eth0:1: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0",
    "broken: 1 2 3",
    " words: a b c d e f g h i j k l m n o p",
  ].join("\n");
  t.match(parseInterfaces(text), [
    {
      name: "eth0",
      receivedBytes: 100n,
      receivedErrors: 3n,
      receivedDropped: 4n,
      sentBytes: 500n,
      sentPackets: 6n,
      sentDropped: 8n,
    },
    { name: "eth0:1", receivedBytes: 1n },
  ]);
  t.equal(parseInterfaces(text).length, 2);
  t.same(await interfacesOf(0), []);
  t.same(await interfacesOf(2 ** 22 + 5), []);
});
