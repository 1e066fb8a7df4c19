import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LinuxResources, LinuxResourcesSchema } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import type { RuntimeCpu, RuntimeMemory, RuntimeResources } from "../cdi/index.js";
import { invalidArgument } from "../errors/index.js";
import { toI64, toNumber, toU64 } from "./numbers.js";

type ResourcesInit = MessageInitShape<typeof LinuxResourcesSchema>;

/** OCI resources as NRI has them. Throws for what a stranger's spec has instead of numbers. */
export function resourcesMessage(resources: RuntimeResources): ResourcesInit {
  const { memory, cpu, hugepageLimits, unified, devices, pids } = resources;
  return {
    ...(isGiven(memory) && { memory: memoryMessage(memory) }),
    ...(isGiven(cpu) && { cpu: cpuMessage(cpu) }),
    hugepageLimits: list(hugepageLimits).map(({ pageSize, limit }) => ({ pageSize, limit: toU64(limit) })),
    unified: { ...unified },
    devices: list(devices).map(({ allow, type, major, minor, access }) => ({
      allow,
      type: type ?? "",
      access: access ?? "",
      ...optional("major", signed(major)),
      ...optional("minor", signed(minor)),
    })),
    ...(isGiven(pids) && { pids: { limit: toI64(pids.limit ?? 0) } }),
  };
}

function memoryMessage(memory: RuntimeMemory): NonNullable<ResourcesInit["memory"]> {
  return {
    ...optional("limit", signed(memory.limit)),
    ...optional("reservation", signed(memory.reservation)),
    ...optional("swap", signed(memory.swap)),
    ...optional("kernel", signed(memory.kernel)),
    ...optional("kernelTcp", signed(memory.kernelTCP)),
    ...optional("swappiness", unsigned(memory.swappiness)),
    ...optional("disableOomKiller", flag(memory.disableOOMKiller)),
    ...optional("useHierarchy", flag(memory.useHierarchy)),
  };
}

function cpuMessage(cpu: RuntimeCpu): NonNullable<ResourcesInit["cpu"]> {
  return {
    ...optional("shares", unsigned(cpu.shares)),
    ...optional("quota", signed(cpu.quota)),
    ...optional("period", unsigned(cpu.period)),
    ...optional("realtimeRuntime", signed(cpu.realtimeRuntime)),
    ...optional("realtimePeriod", unsigned(cpu.realtimePeriod)),
    cpus: cpu.cpus ?? "",
    mems: cpu.mems ?? "",
  };
}

/** NRI resources as OCI has them; classes of block I/O and RDT are no part of those. */
export function runtimeResources(resources: LinuxResources): RuntimeResources {
  const { hugepageLimits, unified, devices, pids } = resources;
  const memory = runtimeMemory(resources);
  const cpu = runtimeCpu(resources);
  return {
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(hugepageLimits.length > 0 && {
      hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit: toNumber(limit) })),
    }),
    ...(Object.keys(unified).length > 0 && { unified: { ...unified } }),
    ...(devices.length > 0 && {
      devices: devices.map(({ allow, type, major, minor, access }) => ({
        allow,
        ...(type !== "" && { type }),
        ...(access !== "" && { access }),
        ...optional("major", numberOf(major)),
        ...optional("minor", numberOf(minor)),
      })),
    }),
    // Below zero: no limit, which OCI says by leaving it out.
    ...(pids !== undefined && { pids: pids.limit < 0n ? {} : { limit: toNumber(pids.limit) } }),
  };
}

function runtimeMemory({ memory }: LinuxResources): RuntimeMemory {
  return {
    ...optional("limit", numberOf(memory?.limit)),
    ...optional("reservation", numberOf(memory?.reservation)),
    ...optional("swap", numberOf(memory?.swap)),
    ...optional("kernel", numberOf(memory?.kernel)),
    ...optional("kernelTCP", numberOf(memory?.kernelTcp)),
    ...optional("swappiness", numberOf(memory?.swappiness)),
    ...optional("disableOOMKiller", memory?.disableOomKiller?.value),
    ...optional("useHierarchy", memory?.useHierarchy?.value),
  };
}

function runtimeCpu({ cpu }: LinuxResources): RuntimeCpu {
  return {
    ...optional("shares", numberOf(cpu?.shares)),
    ...optional("quota", numberOf(cpu?.quota)),
    ...optional("period", numberOf(cpu?.period)),
    ...optional("realtimeRuntime", numberOf(cpu?.realtimeRuntime)),
    ...optional("realtimePeriod", numberOf(cpu?.realtimePeriod)),
    ...optional("cpus", cpu?.cpus === "" ? undefined : cpu?.cpus),
    ...optional("mems", cpu?.mems === "" ? undefined : cpu?.mems),
  };
}

function numberOf(wrapped: { readonly value: bigint } | undefined): number | undefined {
  return wrapped === undefined ? undefined : toNumber(wrapped.value);
}

function signed(value: number | undefined): { value: bigint } | undefined {
  return isGiven(value) ? { value: toI64(value) } : undefined;
}

function unsigned(value: number | undefined): { value: bigint } | undefined {
  return isGiven(value) ? { value: toU64(value) } : undefined;
}

function flag(value: boolean | undefined): { value: boolean } | undefined {
  return isGiven(value) ? { value } : undefined;
}

/** Go writes null for some of what is absent. */
export function isGiven<Value>(value: Value | undefined | null): value is Value {
  return value !== undefined && value !== null;
}

/** A list of a stranger's spec. */
export function list<Item>(value: readonly Item[] | undefined): readonly Item[] {
  if (!isGiven(value)) return [];
  if (Array.isArray(value)) return value;
  throw invalidArgument(`Cannot read a spec: want a list, got ${typeof value}`, {
    reason: "nri-spec-invalid",
  });
}

/** A field, or none where there is no value. */
export function optional<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { [K in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}
