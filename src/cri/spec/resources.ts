import type { LinuxContainerResources } from "../../../gen/runtime/v1/api_pb.js";
import { failedPrecondition } from "../../errors/index.js";
import type { HugepageLimit, LinuxResources, RuntimeSpec } from "../../spec/index.js";
import { changeLinux } from "../../spec/index.js";
import type { HostFacts, SpecSettings } from "./contract.js";

export interface ResourcesChange {
  readonly resources: LinuxContainerResources | undefined;
  readonly settings: Pick<SpecSettings, "tolerateMissingHugetlbController" | "disableHugetlbController">;
  readonly facts: Pick<HostFacts, "hasSwapController" | "hasHugetlbController">;
}

/** For UpdateContainerResources: the container's spec with the limits that are given; 0 and "" leave one as it is. */
export function updatedResources({
  spec,
  ...change
}: ResourcesChange & { readonly spec: RuntimeSpec }): RuntimeSpec {
  return changeLinux(spec, { resources: changedResources(spec.linux.resources, change) });
}

/** @throws FAILED_PRECONDITION `hugetlb-missing` */
export function changedResources(old: LinuxResources, change: ResourcesChange): LinuxResources {
  const { resources } = change;
  if (resources === undefined) return old;
  const cpu = {
    ...old.cpu,
    ...(resources.cpuPeriod !== 0n && { period: Number(resources.cpuPeriod) }),
    ...(resources.cpuQuota !== 0n && { quota: Number(resources.cpuQuota) }),
    ...(resources.cpuShares !== 0n && { shares: Number(resources.cpuShares) }),
    ...(resources.cpusetCpus !== "" && { cpus: resources.cpusetCpus }),
    ...(resources.cpusetMems !== "" && { mems: resources.cpusetMems }),
  };
  const limits = hugepageLimits(old.hugepageLimits ?? [], change);
  return {
    ...old,
    cpu,
    memory: { ...old.memory, ...memoryOf(resources, change.facts) },
    ...(limits.length > 0 && { hugepageLimits: limits }),
    ...(Object.keys(resources.unified).length > 0 && { unified: { ...old.unified, ...resources.unified } }),
  };
}

/** Swap is limited to the memory's limit where none is given, so that containers do not swap by default. */
function memoryOf(resources: LinuxContainerResources, facts: ResourcesChange["facts"]) {
  const limit = Number(resources.memoryLimitInBytes);
  const swap = resources.memorySwapLimitInBytes === 0n ? limit : Number(resources.memorySwapLimitInBytes);
  return {
    ...(limit !== 0 && { limit }),
    ...(swap !== 0 && facts.hasSwapController && { swap }),
  };
}

function hugepageLimits(
  old: readonly HugepageLimit[],
  { resources, settings, facts }: ResourcesChange,
): readonly HugepageLimit[] {
  const wanted = resources?.hugepageLimits ?? [];
  if (settings.disableHugetlbController || wanted.length === 0) return old;
  if (facts.hasHugetlbController) {
    const sizes = new Set(wanted.map(({ pageSize }) => pageSize));
    const added = wanted.map(({ pageSize, limit }) => ({ pageSize, limit: Number(limit) }));
    return [...old.filter(({ pageSize }) => !sizes.has(pageSize)), ...added];
  }
  if (settings.tolerateMissingHugetlbController) return old;
  throw failedPrecondition(
    "huge pages limits are specified but hugetlb cgroup controller is missing. Please set tolerate_missing_hugetlb_controller to `true` to ignore this error",
    { reason: "hugetlb-missing" },
  );
}

/** The wanted value, or this process's own where lower ones are not allowed. */
export function oomScoreAdj(
  wanted: number,
  { restrictOomScoreAdj }: Pick<SpecSettings, "restrictOomScoreAdj">,
  facts: Pick<HostFacts, "oomScoreAdj">,
): number {
  return restrictOomScoreAdj ? Math.max(wanted, facts.oomScoreAdj) : wanted;
}
