import type { SeccompArgument, SeccompProfile, SeccompRule } from "./runtime-spec.js";
import { allowedSyscalls } from "./seccomp-syscalls.js";

const ALLOW = "SCMP_ACT_ALLOW";
const ERRNO = "SCMP_ACT_ERRNO";
const ENOSYS = 38;
/** linux/socket.h: the kernel's ciphers, which programs need no kernel for and which had holes, and sockets to the host of a virtual machine, which know no namespaces. */
const AF_ALG = 38;
const AF_VSOCK = 40;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of linux/sched.h. */
const CLONE_NAMESPACES = 0x7e02_0000;
/** Personalities that do no harm: Linux, Linux of 32 bits, with UNAME26, and the question which it is. */
const PERSONALITIES = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

interface ArchitectureFacts {
  /** libseccomp's names of the machine's call tables. */
  readonly tables: readonly string[];
  readonly syscalls: readonly string[];
}

/** By Go's names of architectures, which images use. */
const architectures: Readonly<Record<string, ArchitectureFacts>> = {
  amd64: { tables: ["X86_64", "X86", "X32"], syscalls: ["arch_prctl", "modify_ldt"] },
  "386": { tables: ["X86"], syscalls: ["modify_ldt"] },
  arm64: {
    tables: ["ARM", "AARCH64"],
    syscalls: [
      ...["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2"],
      ...["breakpoint", "cacheflush", "set_tls"],
    ],
  },
  arm: {
    tables: ["ARM"],
    syscalls: [
      ...["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2"],
      ...["breakpoint", "cacheflush", "set_tls"],
    ],
  },
  riscv64: { tables: ["RISCV64"], syscalls: ["riscv_flush_icache"] },
  s390x: {
    tables: ["S390", "S390X"],
    syscalls: ["s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"],
  },
  ppc64le: { tables: ["PPC64LE"], syscalls: ["sync_file_range2", "swapcontext"] },
  loong64: { tables: ["LOONGARCH64"], syscalls: [] },
};

/** Calls that come with a capability, as the kernel checks it again by itself. */
const byCapability: Readonly<Record<string, readonly string[]>> = {
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  CAP_SYS_ADMIN: [
    ...["bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick"],
    ...["lookup_dcookie", "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open"],
    ...["quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog"],
    ...["umount", "umount2", "unshare"],
  ],
  CAP_SYS_BOOT: ["reboot"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_MODULE: ["delete_module", "init_module", "finit_module"],
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_PTRACE: [
    ...["kcmp", "pidfd_getfd", "process_madvise"],
    ...["process_vm_readv", "process_vm_writev", "ptrace"],
  ],
  CAP_SYS_RAWIO: ["iopl", "ioperm"],
  CAP_SYS_TIME: ["settimeofday", "stime", "clock_settime", "clock_settime64"],
  CAP_SYS_TTY_CONFIG: ["vhangup"],
  CAP_SYS_NICE: ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
  CAP_SYSLOG: ["syslog"],
  CAP_BPF: ["bpf"],
  CAP_PERFMON: ["perf_event_open"],
};

export interface SeccompOptions {
  /** Go's name: `amd64`. */
  readonly architecture: string;
  /** The bounding set. */
  readonly capabilities: readonly string[];
}

/** containerd's default filter (contrib/seccomp) for a kernel of 4.8 or newer: what isn't named fails with EPERM. */
export function defaultSeccomp({ architecture, capabilities }: SeccompOptions): SeccompProfile {
  const facts = Object.hasOwn(architectures, architecture) ? architectures[architecture] : undefined;
  const rules: SeccompRule[] = [
    allow(allowedSyscalls),
    allow(["socket"], [{ index: 0, value: AF_ALG, op: "SCMP_CMP_LT" }]),
    allow(["socket"], [{ index: 0, value: AF_ALG + 1, op: "SCMP_CMP_EQ" }]),
    allow(["socket"], [{ index: 0, value: AF_VSOCK, op: "SCMP_CMP_GT" }]),
    ...PERSONALITIES.map((value) => allow(["personality"], [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
    allow(["process_vm_readv", "process_vm_writev", "ptrace"]),
    allow(facts?.syscalls ?? []),
    ...capabilities.flatMap((name) =>
      Object.hasOwn(byCapability, name) ? [allow(byCapability[name]!)] : [],
    ),
  ];
  if (!capabilities.includes("CAP_SYS_ADMIN")) {
    // s390 has the flags in its second argument.
    const index = architecture === "s390x" ? 1 : 0;
    rules.push(allow(["clone"], [{ index, value: CLONE_NAMESPACES, op: "SCMP_CMP_MASKED_EQ" }]));
    // Its flags lie in memory, where no filter sees them: libraries fall back to clone.
    rules.push({ names: ["clone3"], action: ERRNO, errnoRet: ENOSYS });
  }
  return {
    defaultAction: ERRNO,
    architectures: (facts?.tables ?? []).map((name) => `SCMP_ARCH_${name}`),
    syscalls: rules.filter(({ names }) => names.length > 0),
  };
}

function allow(names: readonly string[], args?: readonly SeccompArgument[]): SeccompRule {
  return { names, action: ALLOW, ...(args === undefined ? {} : { args }) };
}
