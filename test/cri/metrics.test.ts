import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import t from "tap";
import {
  ListMetricDescriptorsRequestSchema,
  ListPodSandboxMetricsRequestSchema,
  StreamPodSandboxMetricsRequestSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { criStats, SnapshotUsages } from "../../src/cri/index.js";
import { countDescriptors, openFilesLimit } from "../../src/cri/metrics-processes.js";
import type { AnyValue } from "../../src/metadata/index.js";
import { containerOf, FakeTasks, lookupOf, metricsV1, metricsV2, podOf } from "./stats-rig.js";

const SECOND_NS = 1_000_000_000n;
const { signal } = new AbortController();

function metricsRig(t: { teardown(end: () => Promise<void>): unknown }, data: AnyValue) {
  const tasks = new FakeTasks();
  tasks.data.set("one", data);
  const now = (): bigint => tasks.at;
  const walk = async function* () {};
  const snapshotter = { walk, usage: async () => ({ size: 0, inodes: 0 }) };
  const calls = criStats({
    pods: lookupOf([podOf("pod", { pid: 1, netns: "/x" }), podOf("old", { state: "not-ready" })]),
    containers: lookupOf([
      containerOf("one", { podId: "pod" }),
      containerOf("ended", { podId: "pod", state: "exited" }),
    ]),
    tasks,
    usages: new SnapshotUsages({
      snapshotters: [{ name: "lazy", folder: tmpdir(), snapshotter, isLazy: true }],
      now,
    }),
    snapshotterOf: () => "lazy",
    cgroupRoot: "/nowhere",
    now,
    collectPeriodMs: 3_600_000,
  });
  t.teardown(async () => await calls[Symbol.asyncDispose]());
  return { tasks, calls };
}

/** Those whose values depend on the kernel or on block devices (critest leaves them out too). */
const optional = /^container_(pressure_|hugetlb_|blkio_|fs_reads|fs_writes|network_)/;

t.test(
  "metrics of a container have a value for each descriptor, with as many labels as it has keys",
  async (t) => {
    for (const data of [metricsV1(5n * SECOND_NS), metricsV2(5_000_000n)]) {
      const { tasks, calls } = metricsRig(t, data);
      const { descriptors = [] } = await calls.listMetricDescriptors(
        create(ListMetricDescriptorsRequestSchema),
        { signal },
      );
      const { podMetrics = [] } = await calls.listPodSandboxMetrics(
        create(ListPodSandboxMetricsRequestSchema),
        { signal },
      );
      t.same(
        podMetrics.map(({ podSandboxId }) => podSandboxId),
        ["pod"],
        "pods that are ready",
      );
      const [own] = podMetrics[0]?.containerMetrics ?? [];
      t.equal(own?.containerId, "one");
      t.equal(podMetrics[0]?.containerMetrics?.length, 1, "containers that run");
      const all = [...(podMetrics[0]?.metrics ?? []), ...(own?.metrics ?? [])];
      const found = new Set(all.map(({ name }) => name));
      for (const { name = "", labelKeys = [], help } of descriptors) {
        t.not(help, "", name);
        if (!optional.test(name)) t.ok(found.has(name), name);
        for (const metric of all.filter((one) => one.name === name)) {
          t.equal(metric.labelValues?.length, labelKeys.length, `labels of ${name}`);
          t.equal(metric.timestamp, tasks.at);
        }
      }
      const known = new Set(descriptors.map(({ name }) => name));
      t.same(
        [...found].filter((name) => !known.has(name)),
        [],
        "nothing without a descriptor",
      );
      const value = (name: string) =>
        own?.metrics?.find((one) => one.name === `container_${name}`)?.value?.value;
      t.equal(value("cpu_usage_seconds_total"), 5n);
      t.equal(value("memory_working_set_bytes"), 750n);
      t.equal(value("start_time_seconds"), 5n);
      t.equal(value("processes"), 1n);
      t.equal(value("spec_cpu_quota"), 50_000n);
      t.ok(Number(value("fs_limit_bytes")) > 0);
      t.ok(Number(value("file_descriptors")) > 0);
      const labels = own?.metrics?.find(({ name }) => name === "container_last_seen")?.labelValues;
      t.same(labels, ["name-pod", "space", "name-one", "one", "docker.io/library/app:1"]);
    }
  },
);

t.test("metrics of block devices, huge pages and pressure are told where there are any", async (t) => {
  const first = metricsRig(t, metricsV1(1n));
  const names = async ({ calls }: typeof first) => {
    const told = new Map<string, readonly string[]>();
    for await (const one of calls.streamPodSandboxMetrics(create(StreamPodSandboxMetricsRequestSchema), {
      signal,
    })) {
      for (const { name = "", labelValues = [] } of one.podSandboxMetrics?.[0]?.containerMetrics?.[0]
        ?.metrics ?? []) {
        told.set(name, labelValues.slice(5));
      }
    }
    return told;
  };
  const old = await names(first);
  t.same(old.get("container_blkio_device_usage_total"), ["/dev/sda", "8", "0", "Read"]);
  t.same(old.get("container_fs_writes_total"), ["8:0"]);
  t.same(old.get("container_hugetlb_usage_bytes"), ["2MB"]);
  t.notOk(old.has("container_pressure_cpu_waiting_seconds_total"));
  const fresh = await names(metricsRig(t, metricsV2(1n)));
  t.ok(fresh.has("container_pressure_cpu_waiting_seconds_total"));
  t.ok(fresh.has("container_pressure_io_stalled_seconds_total"));
  t.same(fresh.get("container_fs_reads_total"), ["8:0"]);
});

t.test("a task that is gone leaves its container with what is known without it", async (t) => {
  const { tasks, calls } = metricsRig(t, metricsV1(1n));
  tasks.data.clear();
  const { podMetrics = [] } = await calls.listPodSandboxMetrics(create(ListPodSandboxMetricsRequestSchema), {
    signal,
  });
  const names = podMetrics[0]?.containerMetrics?.[0]?.metrics?.map(({ name }) => name) ?? [];
  t.ok(names.includes("container_last_seen"));
  t.notOk(names.includes("container_cpu_usage_seconds_total"));
});

t.test("countDescriptors() and openFilesLimit() count of processes what is there", async (t) => {
  const proc = await mkdtemp(join(tmpdir(), "lazuli-proc-"));
  t.teardown(async () => await rm(proc, { recursive: true, force: true }));
  await mkdir(join(proc, "7/fd"), { recursive: true });
  await symlink("socket:[1]", join(proc, "7/fd/0"));
  await symlink("/dev/null", join(proc, "7/fd/1"));
  await writeFile(
    join(proc, "7/limits"),
    "Limit  Soft Limit\nMax open files            1024                 4096                 files\n",
  );
  await mkdir(join(proc, "8"));
  await writeFile(
    join(proc, "8/limits"),
    "Max open files            unlimited            unlimited            files\n",
  );
  t.same(await countDescriptors([7, 8, 9], proc), { fileDescriptors: 2, sockets: 1 });
  t.equal(await openFilesLimit(7, proc), 1024n);
  t.equal(await openFilesLimit(8, proc), undefined);
  t.equal(await openFilesLimit(9, proc), undefined);
});
