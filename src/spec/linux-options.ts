import { invalidArgument } from "../errors/index.js";
import { capabilitySets } from "./capabilities.js";
import type { IdMap, LinuxDevice, LinuxNamespace, SeccompProfile, SpecMount } from "./runtime-spec.js";
import { defaultSeccomp } from "./seccomp-profile.js";
import { changeLinux, changeProcess, changeResources, type SpecOption } from "./spec-option.js";

/** Microseconds of a scheduler's period, the kernel's default. */
const CPU_PERIOD_US = 100_000;
/** Below it the kernel refuses a quota: 1 ms in a period. */
const CPU_QUOTA_MIN_US = 1000;
/** runc refuses less. */
const MEMORY_LIMIT_MIN_BYTES = 6 * 1024 * 1024;
/** sethostname(2). */
const HOSTNAME_LENGTH_MAX = 64;

/** Behind those that are there; one at the same place replaces the other. */
export function withMounts(mounts: readonly SpecMount[]): SpecOption {
  for (const { destination } of mounts) {
    if (destination.startsWith("/") && !destination.split("/").includes("..")) continue;
    throw invalidArgument(`Cannot mount on ${JSON.stringify(destination)}: want an absolute path`, {
      subject: destination,
      reason: "mount-destination-invalid",
    });
  }
  return (spec) => {
    const places = new Set(mounts.map(({ destination }) => destination));
    const kept = spec.mounts.filter(({ destination }) => !places.has(destination));
    return { ...spec, mounts: [...kept, ...mounts] };
  };
}

/** The host's network with its names: no namespace of its own, and the host's /etc/hosts and /etc/resolv.conf. */
export function withHostNetwork(): SpecOption {
  return (spec, context) => {
    const namespaces = spec.linux.namespaces.filter(({ type }) => type !== "network");
    const files = ["/etc/hosts", "/etc/resolv.conf"].map((path) => ({
      destination: path,
      type: "bind",
      source: path,
      options: ["rbind", "ro"],
    }));
    return withMounts(files)(changeLinux(spec, { namespaces }), context);
  };
}

/** A namespace that is there already, or one of a kind that is not made otherwise. */
export function withNamespace(namespace: LinuxNamespace): SpecOption {
  return (spec) => {
    const others = spec.linux.namespaces.filter(({ type }) => type !== namespace.type);
    return changeLinux(spec, { namespaces: [...others, namespace] });
  };
}

/** @throws INVALID_ARGUMENT below what runc takes */
export function withMemoryLimit(bytes: number): SpecOption {
  if (!Number.isSafeInteger(bytes) || bytes < MEMORY_LIMIT_MIN_BYTES) {
    throw limitInvalid(`want at least ${MEMORY_LIMIT_MIN_BYTES} bytes of memory, got ${bytes}`);
  }
  return (spec) => changeResources(spec, { memory: { ...spec.linux.resources.memory, limit: bytes } });
}

/** Processors' worth of time: 0.5 is half of one. */
export function withCpus(cpus: number): SpecOption {
  const quota = Math.floor(cpus * CPU_PERIOD_US);
  if (!(quota >= CPU_QUOTA_MIN_US)) throw limitInvalid(`want at least 0.01 processors, got ${cpus}`);
  return (spec) =>
    changeResources(spec, { cpu: { ...spec.linux.resources.cpu, quota, period: CPU_PERIOD_US } });
}

export function withPidsLimit(limit: number): SpecOption {
  if (!Number.isSafeInteger(limit) || limit < 1) throw limitInvalid(`want 1 process or more, got ${limit}`);
  return (spec) => changeResources(spec, { pids: { limit } });
}

function limitInvalid(problem: string): Error {
  return invalidArgument(`Cannot limit a container: ${problem}`, { reason: "limit-invalid" });
}

export function withReadonlyRootfs(): SpecOption {
  return (spec) => ({ ...spec, root: { ...spec.root, readonly: true } });
}

export interface PrivilegedOptions {
  /** Those that this process may give: capabilitiesOfMask() of its own. */
  readonly capabilities: readonly string[];
  readonly devices: readonly LinuxDevice[];
}

/** All capabilities, all devices, nothing masked, sysfs writable, no seccomp and no new limits of privileges. */
export function withPrivileged({ capabilities, devices }: PrivilegedOptions): SpecOption {
  return (spec) => {
    const { seccomp: _, maskedPaths: __, readonlyPaths: ___, ...linux } = spec.linux;
    const { apparmorProfile: ____, selinuxLabel: _____, ...process } = spec.process;
    const open = {
      ...spec,
      process: { ...process, capabilities: capabilitySets(capabilities), noNewPrivileges: false },
      mounts: spec.mounts.map((mount) =>
        ["sysfs", "cgroup"].includes(mount.type)
          ? { ...mount, options: mount.options.map((option) => (option === "ro" ? "rw" : option)) }
          : mount,
      ),
      linux: { ...linux, devices },
    };
    return changeResources(open, { devices: [{ allow: true, access: "rwm" }] });
  };
}

/** containerd's default filter for the capabilities that the options before have given, or a profile of one's own. */
export function withSeccomp(profile?: SeccompProfile): SpecOption {
  return (spec, { architecture }) =>
    changeLinux(spec, {
      seccomp: profile ?? defaultSeccomp({ architecture, capabilities: spec.process.capabilities.bounding }),
    });
}

/** Makes devices and lets them be used. */
export function withDevices(devices: readonly LinuxDevice[], access = "rwm"): SpecOption {
  return (spec) => {
    const rules = devices.map(({ type, major, minor }) => ({ allow: true, type, major, minor, access }));
    const own = changeLinux(spec, { devices: [...(spec.linux.devices ?? []), ...devices] });
    return changeResources(own, { devices: [...(spec.linux.resources.devices ?? []), ...rules] });
  };
}

/** Owners inside are others outside. The snapshot must have been made for the same mapping. */
export function withUserNamespace(uids: readonly IdMap[], gids: readonly IdMap[]): SpecOption {
  return (spec, context) =>
    withNamespace({ type: "user" })(changeLinux(spec, { uidMappings: uids, gidMappings: gids }), context);
}

export function withAnnotations(annotations: Readonly<Record<string, string>>): SpecOption {
  return (spec) => ({ ...spec, annotations: { ...spec.annotations, ...annotations } });
}

export function withHostname(hostname: string): SpecOption {
  if (hostname === "" || hostname.length > HOSTNAME_LENGTH_MAX) {
    throw invalidArgument(`Cannot use the host name ${JSON.stringify(hostname)}: want 1 to 64 characters`, {
      subject: hostname,
      reason: "hostname-invalid",
    });
  }
  return (spec, context) => {
    const own = { ...spec, hostname };
    const env = spec.process.env.filter((entry) => !entry.startsWith("HOSTNAME="));
    return changeProcess(own, { env: context.id === "" ? env : [...env, `HOSTNAME=${hostname}`] });
  };
}

/** `""`: none of its own, it stays in the shim's. */
export function withCgroup(path: string): SpecOption {
  return (spec) => {
    const { cgroupsPath: _, ...linux } = spec.linux;
    return { ...spec, linux: path === "" ? linux : { ...linux, cgroupsPath: path } };
  };
}

export function withSysctls(sysctl: Readonly<Record<string, string>>): SpecOption {
  return (spec) => changeLinux(spec, { sysctl: { ...spec.linux.sysctl, ...sysctl } });
}
