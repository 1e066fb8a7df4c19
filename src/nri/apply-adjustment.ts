import {
  type ContainerAdjustment,
  type Hook,
  IOPrioClass,
  type LinuxContainerAdjustment,
  type LinuxDevice,
  type LinuxRdt,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  type Mount,
  MpolFlag,
  MpolMode,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import {
  addDeviceRule,
  addHooks,
  hookNames,
  nameOf,
  putDevice,
  putMount,
  type RuntimeHook,
  type RuntimeLinux,
  type RuntimeProcess,
  type RuntimeSpec,
  removeDevice,
  removeMount,
  resourcesOf,
  setEnvironment,
  sortMounts,
} from "../cdi/index.js";
import { toNumber } from "./numbers.js";
import { isRemoval, unmarked } from "./removal.js";
import { optional, runtimeResources } from "./resources-message.js";
import { runtimeSeccomp } from "./seccomp-message.js";

/** Makes the merged adjustment in `spec`. CDI devices are left to the caller. */
export function applyAdjustment(spec: RuntimeSpec, adjustment: ContainerAdjustment): void {
  const { annotations, args, hooks, linux, mounts, rlimits } = adjustment;
  if (Object.keys(annotations).length > 0) spec.annotations = changedTable(spec.annotations, annotations);
  applyEnvironment(spec, adjustment);
  if (args.length > 0) processOf(spec).args = [...args];
  for (const name of hookNames) addHooks(spec, name, (hooks?.[name] ?? []).map(runtimeHook));
  if (linux !== undefined) applyLinux(spec, linux);
  for (const mount of mounts) applyMount(spec, mount);
  if (mounts.length > 0) sortMounts(spec);
  if (rlimits.length === 0) return;
  const types = new Set(rlimits.map(({ type }) => type));
  const process = processOf(spec);
  process.rlimits = [
    ...(process.rlimits ?? []).filter(({ type }) => !types.has(type)),
    ...rlimits.map(({ type, hard, soft }) => ({ type, hard: toNumber(hard), soft: toNumber(soft) })),
  ];
}

function processOf(spec: RuntimeSpec): RuntimeProcess {
  spec.process ??= {};
  return spec.process;
}

function linuxOf(spec: RuntimeSpec): RuntimeLinux {
  spec.linux ??= {};
  return spec.linux;
}

function changedTable<Value>(
  table: Readonly<Record<string, Value>> | undefined,
  changes: Readonly<Record<string, Value>>,
): Record<string, Value> {
  const entries = new Map(Object.entries(table ?? {}));
  for (const key of Object.keys(changes).filter(isRemoval)) entries.delete(unmarked(key));
  for (const [key, value] of Object.entries(changes)) if (!isRemoval(key)) entries.set(key, value);
  return Object.fromEntries(entries);
}

function applyEnvironment(spec: RuntimeSpec, { env }: ContainerAdjustment): void {
  if (env.length === 0) return;
  const removed = new Set(env.filter(({ key }) => isRemoval(key)).map(({ key }) => unmarked(key)));
  const process = processOf(spec);
  process.env = (process.env ?? []).filter((variable) => !removed.has(nameOf(variable)));
  setEnvironment(
    spec,
    env.filter(({ key }) => !isRemoval(key)).map(({ key, value }) => `${key}=${value}`),
  );
}

function runtimeHook({ path, args, env, timeout }: Hook): RuntimeHook {
  return {
    path,
    ...(args.length > 0 && { args: [...args] }),
    ...(env.length > 0 && { env: [...env] }),
    ...optional("timeout", timeout === undefined ? undefined : toNumber(timeout.value)),
  };
}

function applyMount(spec: RuntimeSpec, { destination, type, source, options }: Mount): void {
  if (isRemoval(destination)) {
    removeMount(spec, unmarked(destination));
    return;
  }
  putMount(spec, {
    destination,
    ...(type !== "" && { type }),
    ...(source !== "" && { source }),
    ...(options.length > 0 && { options: [...options] }),
  });
  // Mounts travel into the container only when its root lets them.
  const linux = linuxOf(spec);
  if (options.includes("rshared")) linux.rootfsPropagation = "rshared";
  else if (options.includes("rslave") && linux.rootfsPropagation !== "rshared")
    linux.rootfsPropagation = "rslave";
}

function applyLinux(spec: RuntimeSpec, wanted: LinuxContainerAdjustment): void {
  for (const device of wanted.devices) applyDevice(spec, device);
  applyProcess(spec, wanted);
  if (wanted.cgroupsPath !== "") linuxOf(spec).cgroupsPath = wanted.cgroupsPath;
  if (wanted.seccompPolicy !== undefined) linuxOf(spec).seccomp = runtimeSeccomp(wanted.seccompPolicy);
  for (const { type, path } of wanted.namespaces) {
    const linux = linuxOf(spec);
    const others = (linux.namespaces ?? []).filter((other) => other.type !== unmarked(type));
    const added = { type, ...(path !== "" && { path }) };
    linux.namespaces = isRemoval(type) ? others : [...others, added];
  }
  if (Object.keys(wanted.sysctl).length > 0) {
    linuxOf(spec).sysctl = changedTable(linuxOf(spec).sysctl, wanted.sysctl);
  }
  if (Object.keys(wanted.netDevices).length > 0) {
    const devices = Object.entries(wanted.netDevices).map(([host, { name }]) => [host, { name }] as const);
    const changes: Record<string, { name?: string }> = Object.fromEntries(devices);
    linuxOf(spec).netDevices = changedTable(linuxOf(spec).netDevices, changes);
  }
  const { memoryPolicy } = wanted;
  if (memoryPolicy !== undefined) {
    linuxOf(spec).memoryPolicy = {
      mode: MpolMode[memoryPolicy.mode] ?? "",
      ...(memoryPolicy.nodes !== "" && { nodes: memoryPolicy.nodes }),
      ...(memoryPolicy.flags.length > 0 && { flags: memoryPolicy.flags.map((flag) => MpolFlag[flag] ?? "") }),
    };
  }
  applyResources(spec, wanted);
  if (wanted.rdt !== undefined) applyRdt(linuxOf(spec), wanted.rdt);
}

function applyDevice(spec: RuntimeSpec, device: LinuxDevice): void {
  const { path, type, major, minor, fileMode, uid, gid } = device;
  if (isRemoval(path)) {
    removeDevice(spec, unmarked(path));
    return;
  }
  const numbers = { major: toNumber(major), minor: toNumber(minor) };
  putDevice(spec, {
    path,
    type,
    ...numbers,
    ...optional("fileMode", fileMode?.value),
    ...optional("uid", uid?.value),
    ...optional("gid", gid?.value),
  });
  // Block devices may be made again by those who want another name for them, as NRI has it.
  addDeviceRule(spec, { allow: true, type, ...numbers, access: type === "b" ? "rwm" : "rw" });
}

function applyProcess(spec: RuntimeSpec, wanted: LinuxContainerAdjustment): void {
  const { oomScoreAdj, ioPriority, scheduler } = wanted;
  if (oomScoreAdj !== undefined) processOf(spec).oomScoreAdj = toNumber(oomScoreAdj.value);
  if (ioPriority !== undefined) {
    const { class: level, priority } = ioPriority;
    const process = processOf(spec);
    if (level === IOPrioClass.IOPRIO_CLASS_NONE) delete process.ioPriority;
    else process.ioPriority = { class: IOPrioClass[level] ?? "", priority };
  }
  if (scheduler === undefined) return;
  const process = processOf(spec);
  if (scheduler.policy === LinuxSchedulerPolicy.SCHED_NONE) {
    delete process.scheduler;
    return;
  }
  process.scheduler = {
    policy: LinuxSchedulerPolicy[scheduler.policy] ?? "",
    nice: scheduler.nice,
    priority: scheduler.priority,
    flags: scheduler.flags.map((flag) => LinuxSchedulerFlag[flag] ?? ""),
    runtime: toNumber(scheduler.runtime),
    deadline: toNumber(scheduler.deadline),
    period: toNumber(scheduler.period),
  };
}

function applyResources(spec: RuntimeSpec, { resources: wanted }: LinuxContainerAdjustment): void {
  if (wanted === undefined) return;
  const { memory, cpu, hugepageLimits = [], unified, devices = [], pids } = runtimeResources(wanted);
  if (memory !== undefined) {
    // As with CRI: a limit that says nothing of swap allows none.
    const swap = memory.limit !== undefined && memory.swap === undefined ? { swap: memory.limit } : {};
    resourcesOf(spec).memory = { ...resourcesOf(spec).memory, ...memory, ...swap };
  }
  if (cpu !== undefined) resourcesOf(spec).cpu = { ...resourcesOf(spec).cpu, ...cpu };
  if (pids !== undefined) resourcesOf(spec).pids = pids;
  if (unified !== undefined) resourcesOf(spec).unified = { ...resourcesOf(spec).unified, ...unified };
  for (const limit of hugepageLimits) {
    const resources = resourcesOf(spec);
    const others = (resources.hugepageLimits ?? []).filter(({ pageSize }) => pageSize !== limit.pageSize);
    resources.hugepageLimits = [...others, limit];
  }
  for (const rule of devices) addDeviceRule(spec, rule);
  if (wanted.rdtClass !== undefined) {
    if (wanted.rdtClass.value === "") delete linuxOf(spec).intelRdt;
    else linuxOf(spec).intelRdt = { closID: wanted.rdtClass.value };
  }
}

function applyRdt(linux: RuntimeLinux, { closId, schemata, enableMonitoring, remove }: LinuxRdt): void {
  if (remove) delete linux.intelRdt;
  if (closId === undefined && schemata === undefined && enableMonitoring === undefined) return;
  linux.intelRdt = {
    ...linux.intelRdt,
    ...optional("closID", closId?.value),
    ...optional("schemata", schemata?.value),
    ...optional("enableMonitoring", enableMonitoring?.value),
  };
}
