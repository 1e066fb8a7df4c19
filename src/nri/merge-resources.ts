import { create } from "@bufbuild/protobuf";
import {
  Field,
  LinuxCPUSchema,
  LinuxMemorySchema,
  type LinuxResources,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";

const memoryFields = {
  limit: Field.MemLimit,
  reservation: Field.MemReservation,
  swap: Field.MemSwapLimit,
  kernel: Field.MemKernelLimit,
  kernelTcp: Field.MemTCPLimit,
  swappiness: Field.MemSwappiness,
  disableOomKiller: Field.MemDisableOomKiller,
  useHierarchy: Field.MemUseHierarchy,
} as const;

const cpuFields = {
  shares: Field.CPUShares,
  quota: Field.CPUQuota,
  period: Field.CPUPeriod,
  realtimeRuntime: Field.CPURealtimeRuntime,
  realtimePeriod: Field.CPURealtimePeriod,
  cpus: Field.CPUSetCPUs,
  mems: Field.CPUSetMems,
} as const;

type Claim = (field: Field, key?: string) => void;

/** Takes over what a plugin wants of `wanted` into each of `targets`. `claim` throws where another plugin was first. */
export function mergeResources(
  wanted: LinuxResources,
  options: { readonly targets: readonly LinuxResources[]; readonly claim: Claim },
): void {
  const { targets, claim } = options;
  for (const target of targets) {
    target.memory ??= create(LinuxMemorySchema);
    target.cpu ??= create(LinuxCPUSchema);
  }
  mergeFields(wanted.memory, { fields: memoryFields, targets: targets.map(({ memory }) => memory!), claim });
  mergeFields(wanted.cpu, { fields: cpuFields, targets: targets.map(({ cpu }) => cpu!), claim });
  for (const limit of wanted.hugepageLimits) {
    claim(Field.HugepageLimits, limit.pageSize);
    for (const target of targets) {
      const others = target.hugepageLimits.filter(({ pageSize }) => pageSize !== limit.pageSize);
      target.hugepageLimits = [...others, limit];
    }
  }
  for (const [key, value] of Object.entries(wanted.unified)) {
    claim(Field.CgroupsUnified, key);
    for (const target of targets) target.unified = { ...target.unified, [key]: value };
  }
  for (const target of targets) target.devices = [...target.devices, ...wanted.devices];
  const others = {
    blockioClass: Field.BlockioClass,
    rdtClass: Field.RdtClass,
    pids: Field.PidsLimit,
  } as const;
  mergeFields(wanted, { fields: others, targets, claim });
}

interface FieldMerge<Part extends object> {
  readonly fields: { readonly [Key in keyof Part]?: Field };
  readonly targets: readonly Part[];
  readonly claim: Claim;
}

function mergeFields<Part extends object>(wanted: Part | undefined, merge: FieldMerge<Part>): void {
  for (const [key, field] of Object.entries(merge.fields) as [keyof Part, Field][]) {
    const value = wanted?.[key];
    // An empty text is an absent one in proto3.
    if (value === undefined || value === "") continue;
    merge.claim(field);
    for (const target of merge.targets) target[key] = value;
  }
}
