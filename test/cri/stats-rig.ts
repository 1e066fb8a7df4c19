import { create, toBinary } from "@bufbuild/protobuf";
import { MetricsSchema as MetricsV1Schema } from "../../gen/io/containerd/cgroups/v1/metrics_pb.js";
import { MetricsSchema as MetricsV2Schema } from "../../gen/io/containerd/cgroups/v2/metrics_pb.js";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import type { CriContainer, Pod } from "../../src/cri/index.js";
import { notFound } from "../../src/errors/index.js";
import type { AnyValue } from "../../src/metadata/index.js";

export const GIB = 1n << 30n;
export const NO_LIMIT = 9_223_372_036_854_771_712n;
const SECOND_NS = 1_000_000_000n;

/** What a shim of a node with cgroup v1 tells; `usageNs` of CPU. */
export function metricsV1(usageNs: bigint): AnyValue {
  const message = create(MetricsV1Schema, {
    cpu: {
      usage: { total: usageNs, user: usageNs / 2n, kernel: usageNs / 2n },
      throttling: { periods: 10n, throttledPeriods: 2n, throttledTime: 3n * SECOND_NS },
    },
    memory: {
      usage: { usage: 1000n, limit: GIB, max: 2000n, failcnt: 4n },
      swap: { usage: 1100n, limit: NO_LIMIT },
      kernel: { usage: 50n },
      totalRss: 600n,
      totalCache: 300n,
      totalMappedFile: 70n,
      totalActiveFile: 80n,
      totalInactiveFile: 250n,
      totalPgFault: 12n,
      totalPgMajFault: 3n,
    },
    pids: { current: 5n, limit: 100n },
    blkio: {
      ioServiceBytesRecursive: [
        { op: "Read", device: "/dev/sda", major: 8n, minor: 0n, value: 4096n },
        { op: "Total", device: "/dev/sda", major: 8n, minor: 0n, value: 4096n },
      ],
      ioServicedRecursive: [{ op: "Write", device: "", major: 8n, minor: 0n, value: 9n }],
    },
    hugetlb: [{ pagesize: "2MB", usage: 2n, max: 4n }],
    memoryOomControl: { oomKill: 1n },
  });
  return { typeUrl: "io.containerd.cgroups.v1.Metrics", value: toBinary(MetricsV1Schema, message) };
}

export function metricsV2(usageUsec: bigint): AnyValue {
  const psi = {
    some: { avg10: 1.5, avg60: 0.5, avg300: 0.25, total: 7_000_000n },
    full: { avg10: 0, avg60: 0, avg300: 0, total: 2_000_000n },
  };
  const message = create(MetricsV2Schema, {
    cpu: { usageUsec, userUsec: usageUsec, nrPeriods: 4n, nrThrottled: 1n, throttledUsec: 5_000_000n, psi },
    memory: {
      usage: 1000n,
      usageLimit: 0xffff_ffff_ffff_ffffn,
      anon: 600n,
      file: 300n,
      inactiveFile: 250n,
      swapUsage: 30n,
      swapLimit: 100n,
      pgfault: 12n,
      pgmajfault: 3n,
      psi,
    },
    pids: { current: 6n, limit: 0n },
    io: { usage: [{ major: 8n, minor: 0n, rbytes: 1n, wbytes: 2n, rios: 3n, wios: 4n }], psi },
    memoryEvents: { oomKill: 2n, max: 9n },
  });
  return {
    typeUrl: "types.example/io.containerd.cgroups.v2.Metrics",
    value: toBinary(MetricsV2Schema, message),
  };
}

export interface MadePod {
  readonly state?: Pod["state"];
  readonly labels?: Record<string, string>;
  readonly cgroupParent?: string;
  readonly runtimeHandler?: string;
  readonly pid?: number;
  readonly netns?: string;
}

export function podOf(id: string, made: MadePod = {}): Pod {
  const { state = "ready", labels = {}, cgroupParent = "", runtimeHandler = "", pid = 0, netns } = made;
  return {
    record: {
      id,
      name: id,
      config: create(PodSandboxConfigSchema, {
        metadata: { name: `name-${id}`, namespace: "space", uid: "u", attempt: 0 },
        labels,
        linux: { cgroupParent },
      }),
      runtimeHandler,
      createdAt: 1n,
      sandboxer: "podsandbox",
      netns,
      userns: undefined,
      addresses: [],
      cniResult: undefined,
      updated: undefined,
      processLabel: "",
      isStopped: false,
    },
    state,
    pid,
    address: "",
  };
}

export interface MadeContainer {
  readonly podId: string;
  readonly state?: CriContainer["state"];
  readonly labels?: Record<string, string>;
  readonly pid?: number;
}

export function containerOf(id: string, made: MadeContainer): CriContainer {
  const { podId, state = "running", labels = {}, pid = process.pid } = made;
  return {
    record: {
      id,
      name: id,
      podId,
      config: create(ContainerConfigSchema, {
        metadata: { name: `name-${id}`, attempt: 1 },
        image: { image: "sha256:1", userSpecifiedImage: "docker.io/library/app:1" },
        labels,
        annotations: { note: "kept" },
        linux: {
          resources: { cpuPeriod: 100_000n, cpuQuota: 50_000n, cpuShares: 512n, memoryLimitInBytes: GIB },
        },
      }),
      imageId: "sha256:1",
      imageReference: "docker.io/library/app:1",
      logPath: "",
      stopSignal: "",
      createdAt: 1n,
      processLabel: "",
    },
    state,
    pid,
    startedAt: 5n * SECOND_NS,
    finishedAt: 0n,
    exitCode: 0,
    reason: "",
    message: "",
  };
}

export function lookupOf<Thing extends { readonly record: { readonly id: string } }>(
  things: readonly Thing[],
) {
  return {
    list: () => things,
    find: (id: string) => {
      const found = things.filter(({ record }) => record.id.startsWith(id));
      return found.length === 1 ? found[0] : undefined;
    },
  };
}

/** Tasks that tell what is in `data`, at a time that the test sets. */
export class FakeTasks {
  readonly data = new Map<string, AnyValue>();
  pidsOf: readonly number[] = [process.pid];
  at = 100n * SECOND_NS;
  asked = 0;

  readonly metrics = async ({ id, namespace }: { readonly id: string; readonly namespace: string }) => {
    this.asked += 1;
    const data = this.data.get(id);
    if (data === undefined) throw notFound(`task ${id}`);
    return { id, namespace, timestamp: this.at, data };
  };

  readonly pids = async ({ id }: { readonly id: string }) => {
    if (!this.data.has(id)) throw notFound(`task ${id}`);
    return this.pidsOf.map((pid) => ({ pid, info: undefined }));
  };
}
