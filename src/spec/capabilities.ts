import { invalidArgument } from "../errors/index.js";
import type { CapabilitySets } from "./runtime-spec.js";

/** What a container has when nobody asks for more or less: containerd's and Docker's set, in containerd's order. */
export const defaultCapabilities: readonly string[] = [
  ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW"],
  ...["CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"],
  ...["CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"],
];

/** Of the kernel, by their numbers (linux/capability.h). */
export const allCapabilities: readonly string[] = [
  ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL"],
  ...["CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE"],
  ...["CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER"],
  ...["CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT"],
  ...["CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME"],
  ...["CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL"],
  ...["CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM"],
  ...["CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"],
];

/** The capabilities in a mask of /proc/self/status (`CapEff`, hexadecimal). What the kernel has more of is left out. */
export function capabilitiesOfMask(mask: string): readonly string[] {
  const bits = BigInt(`0x${mask}`);
  return allCapabilities.filter((_, bit) => (bits >> BigInt(bit)) % 2n === 1n);
}

/** `NET_ADMIN`, `cap_net_admin` → `CAP_NET_ADMIN`. @throws INVALID_ARGUMENT `capability-unknown` */
export function capabilityName(text: string): string {
  const upper = text.toUpperCase();
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (allCapabilities.includes(name)) return name;
  throw invalidArgument(`Cannot use the capability ${JSON.stringify(text)}: Linux has none of this name`, {
    subject: text,
    reason: "capability-unknown",
    hint: "Write names as in capabilities(7), e.g. NET_ADMIN",
  });
}

/** The three sets that containerd fills; the inheritable one stays empty (CVE-2022-24769). */
export function capabilitySets(names: readonly string[]): CapabilitySets {
  return { bounding: names, effective: names, permitted: names };
}
