import type {
  HostFacts,
  HostMount,
  PodFiles,
  RuntimeTable,
  SpecHost,
  SpecSettings,
} from "../../src/cri/spec/index.js";
import { invalidArgument } from "../../src/errors/index.js";

export const podFiles: PodFiles = {
  hosts: "/pods/POD/hosts",
  hostname: "/pods/POD/hostname",
  resolvConf: "/pods/POD/resolv.conf",
  shm: "/pods/POD/shm",
};

export const testFacts: HostFacts = {
  architecture: "amd64",
  hasCgroupV2: false,
  hasSwapController: true,
  hasHugetlbController: true,
  hasSeccomp: true,
  hasApparmor: false,
  isInUserNamespace: false,
  capabilities: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN"],
  oomScoreAdj: 0,
  cgroupMountOptions: [],
  selinux: undefined,
};

export const testSettings: SpecSettings = {
  enableSelinux: false,
  disableApparmor: false,
  restrictOomScoreAdj: true,
  disableProcMount: false,
  unsetSeccompProfile: undefined,
  tolerateMissingHugetlbController: true,
  disableHugetlbController: true,
  deviceOwnershipFromSecurityContext: false,
  ignoreImageDefinedVolumes: false,
  enableUnprivilegedPorts: true,
  enableUnprivilegedIcmp: true,
  ignoreBlockioNotEnabledErrors: false,
  ignoreRdtNotEnabledErrors: false,
};

export const testRuntime: RuntimeTable = {
  podAnnotations: [],
  containerAnnotations: [],
  options: {},
  baseSpec: undefined,
  hasRecursiveReadOnlyMounts: true,
};

export interface TestHostOptions extends Partial<Omit<HostFacts, "mounts">> {
  readonly hostname?: () => Promise<string>;
  readonly devices?: SpecHost["devices"];
  readonly mounts?: readonly HostMount[];
  /** Contents by path; all else is taken for a folder that is there, but for `missing`. */
  readonly files?: Readonly<Record<string, string>>;
  readonly missing?: readonly string[];
  /** Links by path. */
  readonly links?: Readonly<Record<string, string>>;
  readonly apparmorProfiles?: readonly string[];
}

export interface TestHost extends SpecHost {
  readonly made: readonly string[];
  readonly relabelled: readonly (readonly [string, string])[];
}

/** A node made of tables. */
export function testHost(options: TestHostOptions = {}): TestHost {
  const {
    hostname,
    devices,
    mounts = [],
    files = {},
    missing = [],
    links = {},
    apparmorProfiles = [],
    ...facts
  } = options;
  const made: string[] = [];
  const relabelled: [string, string][] = [];
  let level = 0;
  return {
    made,
    relabelled,
    facts: async () => ({ ...testFacts, ...facts }),
    hostname: hostname ?? (async () => "node"),
    hasPath: async (path) => !missing.includes(path) || made.includes(path),
    makeFolder: async (path) => void made.push(path),
    realPath: async (path) => links[path] ?? path,
    isFolder: async (path) => !(path in files),
    mounts: async () => mounts,
    devices:
      devices ??
      (async (path) => {
        if (path === "/dev") return [];
        throw invalidArgument(`Cannot use the device ${path}: not a device node`, {
          reason: "device-invalid",
        });
      }),
    readFile: async (path) => {
      const text = files[path];
      if (text === undefined) throw new Error(`no such file: ${path}`);
      return Buffer.from(text);
    },
    relabel: async (path, label) => void relabelled.push([path, label]),
    loadDefaultApparmor: async () => "default-profile",
    hasApparmorProfile: async (name) => apparmorProfiles.includes(name),
    drawLevel: () => {
      level += 2;
      return `s0:c${level},c${level + 1}`;
    },
  };
}
