import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { access, mkdir, readFile, realpath, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { invalidArgument, resourceExhausted } from "../../errors/index.js";
import { parseMountInfo } from "../../mounts/index.js";
import { hasLoadedProfile, loadDefaultProfile } from "./apparmor-profile.js";
import type { HostFacts, HostMount, SpecHost } from "./contract.js";
import { hostDevices } from "./host-devices.js";
import { readHostFacts } from "./host-facts.js";

export interface LinuxHostOptions {
  /** Categories from which a pod's pair is drawn: `selinux_category_range`. */
  readonly selinuxCategoryRange: number;
  /** Process labels of the pods that there are, whose levels are taken. */
  readonly podLabels: () => Iterable<string>;
}

/** Draws before a node counts as full; of 1024 categories there are half a million pairs. */
const DRAWS_MAX = 10_000;
/** A label on one of these would lock the node out of its own files. */
const neverRelabelled = new Set([
  "/",
  "/bin",
  "/boot",
  "/dev",
  "/etc",
  "/home",
  "/lib",
  "/proc",
  "/root",
  "/run",
  "/sys",
  "/tmp",
  "/usr",
  "/var",
]);
const RELABEL_TIMEOUT_MS = 120_000;

/** The node that the daemon runs on. */
export function linuxHost(options: LinuxHostOptions): SpecHost {
  let facts: Promise<HostFacts> | undefined;
  return {
    facts: () => {
      facts ??= readHostFacts();
      return facts;
    },
    hostname: async () => hostname(),
    hasPath: (path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    makeFolder: async (path) => void (await mkdir(path, { recursive: true, mode: 0o755 })),
    realPath: (path) => realpath(path),
    isFolder: async (path) => (await stat(path)).isDirectory(),
    mounts: hostMounts,
    devices: hostDevices,
    readFile: (path) => readFile(path),
    relabel,
    loadDefaultApparmor: loadDefaultProfile,
    hasApparmorProfile: hasLoadedProfile,
    drawLevel: () => drawLevel(options),
  };
}

async function hostMounts(): Promise<readonly HostMount[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.flatMap((line) => {
    const fields = line.split(" ");
    // Optional fields stand between the sixth and a dash (proc(5)).
    const propagation = fields.slice(6, fields.indexOf("-", 6));
    return parseMountInfo(line).map(({ target }) => ({ target, propagation }));
  });
}

async function relabel(path: string, label: string): Promise<void> {
  if (neverRelabelled.has(path)) {
    throw invalidArgument(`relabel ${JSON.stringify(path)} failed: SELinux relabeling of it is not allowed`, {
      subject: path,
      reason: "relabel-refused",
    });
  }
  await promisify(execFile)("chcon", ["-R", "-h", "--", label, path], { timeout: RELABEL_TIMEOUT_MS });
}

function drawLevel({ selinuxCategoryRange, podLabels }: LinuxHostOptions): string {
  const taken = new Set([...podLabels()].map((label) => label.split(":").slice(3).join(":")));
  for (let draw = 0; draw < DRAWS_MAX; draw += 1) {
    const [first, second] = [randomInt(selinuxCategoryRange), randomInt(selinuxCategoryRange)];
    const level = `s0:c${Math.min(first, second)},c${Math.max(first, second)}`;
    if (first !== second && !taken.has(level)) return level;
  }
  throw resourceExhausted(`Cannot label a pod: all levels of ${selinuxCategoryRange} categories are taken`, {
    reason: "selinux-levels-exhausted",
    hint: "Raise selinux_category_range",
  });
}
