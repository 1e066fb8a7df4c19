import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { capabilitiesOfMask, machineArchitecture } from "../../spec/index.js";
import type { HostFacts } from "./contract.js";

const CGROUPS = "/sys/fs/cgroup";

export async function readHostFacts(): Promise<HostFacts> {
  const status = await textOf("/proc/self/status");
  const controllers = await readFile(`${CGROUPS}/cgroup.controllers`, "utf8").catch(() => undefined); // cgroup v1.
  const hasCgroupV2 = controllers !== undefined;
  return {
    architecture: machineArchitecture(),
    hasCgroupV2,
    hasSwapController: await isThere(await swapFile(hasCgroupV2)),
    hasHugetlbController:
      controllers?.split(/\s+/).includes("hugetlb") ?? (await isThere(`${CGROUPS}/hugetlb`)),
    hasSeccomp: /^Seccomp:/m.test(status),
    hasApparmor: await hasApparmor(),
    isInUserNamespace: !/^\s*0\s+0\s+4294967295\s*$/.test(await textOf("/proc/self/uid_map")),
    capabilities: capabilitiesOfMask(/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"),
    oomScoreAdj: Number((await textOf("/proc/self/oom_score_adj")).trim()),
    cgroupMountOptions: await cgroupMountOptions(),
    selinux: await selinuxContexts(),
  };
}

async function swapFile(hasCgroupV2: boolean): Promise<string> {
  if (!hasCgroupV2) return `${CGROUPS}/memory/memory.memsw.limit_in_bytes`;
  // The root of cgroup v2 has no such file.
  const own = /^0::(.*)$/m.exec(await textOf("/proc/self/cgroup"))?.[1] ?? "/";
  return join(CGROUPS, own, "memory.swap.max");
}

async function hasApparmor(): Promise<boolean> {
  const isEnabled = (await textOf("/sys/module/apparmor/parameters/enabled")).startsWith("Y");
  if (!isEnabled || (process.env.container ?? "") !== "") return false;
  return (await isThere("/sys/kernel/security/apparmor")) && (await isThere("/sbin/apparmor_parser"));
}

/** Those of the file system, which stand last in a line of mountinfo. */
async function cgroupMountOptions(): Promise<readonly string[]> {
  const lines = (await textOf("/proc/self/mountinfo")).split("\n");
  const line = lines.findLast((one) => one.split(" ")[4] === CGROUPS);
  return line?.split(" ").at(-1)?.split(",") ?? [];
}

async function selinuxContexts(): Promise<HostFacts["selinux"]> {
  if (!(await isThere("/sys/fs/selinux/enforce"))) return undefined;
  const policy = /^SELINUXTYPE=(\S+)/m.exec(await textOf("/etc/selinux/config"))?.[1] ?? "targeted";
  const contexts = await textOf(`/etc/selinux/${policy}/contexts/lxc_contexts`);
  const contextOf = (name: string) => new RegExp(`^${name}\\s*=\\s*"([^"]+)"`, "m").exec(contexts)?.[1];
  const process = contextOf("process");
  const file = contextOf("file");
  return process === undefined || file === undefined ? undefined : { process, file };
}

/** "" for a file that is not there: what it would tell of does not exist. */
async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
