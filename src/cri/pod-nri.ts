import type { LinuxContainerResources } from "../../gen/runtime/v1/api_pb.js";
import { parseRuntimeJson, type RuntimeResources } from "../cdi/index.js";
import type { SandboxRow } from "../metadata/index.js";
import type { NriPod } from "../nri/index.js";
import type { Pod } from "./contract.js";

interface SpecPart {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: {
    readonly cgroupsPath?: string;
    readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
  };
}

/** A pod as plugins are told of it. `row`: undefined while it has none. */
export function nriPod({ record, pid }: Pod, row: SandboxRow | undefined): NriPod {
  const { id, config, runtimeHandler, addresses } = record;
  const spec: SpecPart = row?.spec === undefined ? {} : (parseRuntimeJson(row.spec.value) as SpecPart);
  const { metadata, linux } = config;
  return {
    id,
    name: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    namespace: metadata?.namespace ?? "",
    labels: { ...config.labels, ...row?.labels },
    annotations: { ...config.annotations, ...spec.annotations },
    runtimeHandler,
    cgroupParent: linux?.cgroupParent ?? "",
    cgroupsPath: spec.linux?.cgroupsPath ?? "",
    namespaces: spec.linux?.namespaces ?? [],
    overhead: nriResources(linux?.overhead),
    resources: nriResources(linux?.resources),
    pid,
    ips: addresses,
  };
}

/** CRI's resources as a runtime has them; what is 0 or empty is not asked for. */
export function nriResources(resources: LinuxContainerResources | undefined): RuntimeResources {
  if (resources === undefined) return {};
  const { cpusetCpus, cpusetMems, hugepageLimits, unified } = resources;
  const limit = Number(resources.memoryLimitInBytes);
  const swap = Number(resources.memorySwapLimitInBytes);
  return {
    memory: { ...(limit === 0 ? {} : { limit }), ...(swap === 0 ? {} : { swap }) },
    cpu: {
      ...(resources.cpuShares === 0n ? {} : { shares: Number(resources.cpuShares) }),
      ...(resources.cpuQuota === 0n ? {} : { quota: Number(resources.cpuQuota) }),
      ...(resources.cpuPeriod === 0n ? {} : { period: Number(resources.cpuPeriod) }),
      ...(cpusetCpus === "" ? {} : { cpus: cpusetCpus }),
      ...(cpusetMems === "" ? {} : { mems: cpusetMems }),
    },
    hugepageLimits: hugepageLimits.map(({ pageSize, limit: bytes }) => ({ pageSize, limit: Number(bytes) })),
    unified: { ...unified },
  };
}
