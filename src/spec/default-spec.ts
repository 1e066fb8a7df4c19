import { capabilitySets, defaultCapabilities } from "./capabilities.js";
import type { DeviceRule, RuntimeSpec, SpecMount } from "./runtime-spec.js";

/** What runc 1.1 and newer take. */
export const OCI_VERSION = "1.1.0";

export const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The specification before options, as containerd's: no capability, mount or device more than its default has. */
export function defaultSpec(place: { readonly id: string; readonly namespace: string }): RuntimeSpec {
  return {
    ociVersion: OCI_VERSION,
    process: {
      user: { uid: 0, gid: 0 },
      args: [],
      env: [DEFAULT_PATH],
      cwd: "/",
      capabilities: capabilitySets(defaultCapabilities),
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs" },
    mounts: defaultMounts,
    linux: {
      resources: {
        devices: [{ allow: false, access: "rwm" }, ...defaultDevices],
      },
      cgroupsPath: `/${place.namespace}/${place.id}`,
      namespaces: (["pid", "ipc", "uts", "mount", "network"] as const).map((type) => ({ type })),
      maskedPaths: [
        ...["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats"],
        ...["/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware"],
        ...["/sys/devices/virtual/powercap", "/proc/scsi"],
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

const closed = ["nosuid", "noexec", "nodev"];
const memory = ["nosuid", "strictatime", "mode=755", "size=65536k"];

/** In containerd's order; `/run` comes last. */
const defaultMounts: readonly SpecMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: closed },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: memory },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    // 5 is the group tty of Linux distributions.
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: [...closed, "mode=1777", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: closed },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: [...closed, "ro"] },
  { destination: "/run", type: "tmpfs", source: "tmpfs", options: memory },
];

function character(major: number, minor?: number): DeviceRule {
  const place = minor === undefined ? { major } : { major, minor };
  return { allow: true, type: "c", ...place, access: "rwm" };
}

/** null, random, full, tty, zero, urandom, console, pts/*, ptmx: those that every container gets made. */
const defaultDevices: readonly DeviceRule[] = [
  ...[character(1, 3), character(1, 8), character(1, 7), character(5, 0), character(1, 5)],
  ...[character(1, 9), character(5, 1), character(136), character(5, 2)],
];
