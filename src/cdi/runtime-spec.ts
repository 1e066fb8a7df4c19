/**
 * The parts of an OCI runtime spec (runtime-spec 1.3, config.md and config-linux.md) that device edits and NRI plugins
 * touch. Everything else stays as it is.
 */
export interface RuntimeSpec {
  process?: RuntimeProcess;
  mounts?: RuntimeMount[];
  hooks?: Partial<Record<HookName, RuntimeHook[]>>;
  annotations?: Record<string, string>;
  linux?: RuntimeLinux;
}

export const hookNames = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
export type HookName = (typeof hookNames)[number];

export interface RuntimeProcess {
  args?: string[];
  env?: string[];
  user?: { uid?: number; gid?: number; additionalGids?: number[] };
  rlimits?: { type: string; hard: number; soft: number }[];
  oomScoreAdj?: number;
  ioPriority?: { class: string; priority?: number };
  scheduler?: RuntimeScheduler;
}

export interface RuntimeScheduler {
  policy: string;
  nice?: number;
  priority?: number;
  flags?: string[];
  runtime?: number;
  deadline?: number;
  period?: number;
}

export interface RuntimeMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

export interface RuntimeHook {
  path: string;
  args?: string[];
  env?: string[];
  /** Seconds. */
  timeout?: number;
}

export interface RuntimeLinux {
  namespaces?: { type: string; path?: string }[];
  devices?: RuntimeDevice[];
  netDevices?: Record<string, { name?: string }>;
  cgroupsPath?: string;
  resources?: RuntimeResources;
  rootfsPropagation?: string;
  seccomp?: RuntimeSeccomp;
  sysctl?: Record<string, string>;
  intelRdt?: RuntimeRdt;
  memoryPolicy?: { mode: string; nodes?: string; flags?: string[] };
}

export interface RuntimeDevice {
  path: string;
  /** b, c, u or p. */
  type: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

export interface RuntimeDeviceRule {
  allow: boolean;
  type?: string;
  major?: number;
  minor?: number;
  access?: string;
}

export interface RuntimeResources {
  devices?: RuntimeDeviceRule[];
  memory?: RuntimeMemory;
  cpu?: RuntimeCpu;
  pids?: { limit?: number };
  hugepageLimits?: { pageSize: string; limit: number }[];
  unified?: Record<string, string>;
  blockIO?: unknown;
}

export interface RuntimeMemory {
  limit?: number;
  reservation?: number;
  swap?: number;
  kernel?: number;
  kernelTCP?: number;
  swappiness?: number;
  disableOOMKiller?: boolean;
  useHierarchy?: boolean;
}

export interface RuntimeCpu {
  shares?: number;
  quota?: number;
  period?: number;
  realtimeRuntime?: number;
  realtimePeriod?: number;
  cpus?: string;
  mems?: string;
}

export interface RuntimeSeccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: RuntimeSyscall[];
}

export interface RuntimeSyscall {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[];
}

export interface RuntimeRdt {
  closID?: string;
  schemata?: string[];
  l3CacheSchema?: string;
  memBwSchema?: string;
  enableMonitoring?: boolean;
}
