import { access, constants, readFile, statfs } from "node:fs/promises";
import { connect } from "node:net";
import { release } from "node:os";
import { dirname } from "node:path";
import type { Config } from "../daemon/index.js";
import { loadBinding } from "../fuse/index.js";

/** `broken`: lazuli can't work. `weak`: it works with less. `good` and `told` need no action. */
export type FindingState = "good" | "told" | "weak" | "broken";

export interface Finding {
  readonly check: string;
  readonly state: FindingState;
  readonly detail: string;
  readonly hint?: string;
}

type Check = (config: Config) => Promise<Omit<Finding, "check">>;

/** Longest wait for a socket that does not answer. */
const CONNECT_TIMEOUT_MS = 2000;
/** Free space below which pulls soon fail. */
const FREE_BYTES_LOW = 2 * 1024 ** 3;

/** What the machine offers, each looked at without changing anything. */
export const machineChecks: Readonly<Record<string, Check>> = {
  user: async () =>
    process.getuid?.() === 0
      ? { state: "good", detail: "root" }
      : {
          state: "broken",
          detail: `uid ${process.getuid?.()}, mounts need root`,
          hint: "Run lazuli as root, e.g. by its systemd unit",
        },
  kernel: async () => {
    const version = release();
    return kernelAtLeast(version, 5, 4)
      ? { state: "good", detail: version }
      : { state: "broken", detail: `${version}, 5.4 or newer is needed`, hint: "Upgrade the kernel" };
  },
  addon: async () => {
    loadBinding();
    return { state: "good", detail: "the native addon is built for this Node" };
  },
  fuse: async () => {
    const isOpen = await access("/dev/fuse", constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
    return isOpen
      ? { state: "good", detail: "/dev/fuse can be opened" }
      : { state: "broken", detail: "/dev/fuse can't be opened", hint: "modprobe fuse" };
  },
  overlay: async () =>
    (await fileSystems()).has("overlay")
      ? { state: "good", detail: "the kernel has overlayfs" }
      : { state: "broken", detail: "the kernel has no overlayfs", hint: "modprobe overlay" },
  erofs: async () => {
    const version = release();
    const hasErofs = (await fileSystems()).has("erofs");
    if (hasErofs && kernelAtLeast(version, 6, 12)) {
      return { state: "good", detail: "the kernel has EROFS and is new enough to mount it from a file" };
    }
    const detail = hasErofs
      ? `EROFS from a file needs kernel 6.12, this is ${version}`
      : "the kernel has no EROFS";
    const hint = hasErofs
      ? "Layers are mounted as FUSE trees: first opens and walks are slower"
      : "modprobe erofs; without it layers are mounted as FUSE trees";
    return { state: "weak", detail, hint };
  },
  rung: async (config) => ({ state: "told", detail: await rungOf(config) }),
  root: async (config) => {
    const facts = await statfs(await nearestFolder(config.root), { bigint: true });
    const free = Number(facts.bavail * facts.bsize);
    const type = Number(facts.type);
    if (unfitFileSystems[type] !== undefined) {
      return {
        state: "broken",
        detail: `${config.root} is on ${unfitFileSystems[type]}, which can't hold an upper layer`,
        hint: "Put `root` on ext4, xfs or btrfs",
      };
    }
    const detail = `${config.root}, ${Math.floor(free / 1024 ** 2)} MiB free`;
    if (free < FREE_BYTES_LOW)
      return { state: "weak", detail, hint: "Free some space: pulls will soon fail" };
    return { state: "good", detail };
  },
  containerd: async (config) => {
    const { enabled, address } = config.containerd;
    if (!enabled) return { state: "told", detail: "not looked at: [containerd] enabled is false" };
    if (await answers(address)) return { state: "good", detail: `answers on ${address}` };
    return {
      state: "weak",
      detail: `does not answer on ${address}`,
      hint: "Start containerd, or set [containerd] address; without it only clients that send image labels are lazy",
    };
  },
  daemon: async (config) => {
    const { address } = config.snapshotter;
    if (await answers(address)) return { state: "good", detail: `answers on ${address}` };
    const hint = "systemctl start lazuli-snapshotter, or run `lazuli snapshotter`";
    return { state: "weak", detail: `does not answer on ${address}`, hint };
  },
};

/** f_type of statfs(2) that overlayfs refuses below an upper layer. */
const unfitFileSystems: Readonly<Record<number, string>> = {
  2035054128: "overlayfs",
  26985: "NFS",
  1702057286: "FUSE",
  4283649346: "CIFS",
};

async function rungOf(config: Config): Promise<string> {
  const canErofs = (await fileSystems()).has("erofs") && kernelAtLeast(release(), 6, 12);
  const { mount } = config.layer;
  if (mount === "fuse-tree") return "FUSE tree, as the config wants";
  if (mount === "erofs")
    return canErofs ? "EROFS, as the config wants" : "EROFS by the config, but the kernel can't";
  return canErofs ? "EROFS metadata in the kernel, data over one FUSE mount" : "FUSE tree";
}

function kernelAtLeast(version: string, major: number, minor: number): boolean {
  const [actualMajor = 0, actualMinor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return actualMajor > major || (actualMajor === major && actualMinor >= minor);
}

/** Names in /proc/filesystems, and modules of file systems that the kernel would load when asked. */
async function fileSystems(): Promise<ReadonlySet<string>> {
  const loaded = (await readFile("/proc/filesystems", "utf8")).split("\n").map((line) => line.split("\t")[1]);
  const names = new Set(loaded.filter((name) => name !== undefined && name !== "") as string[]);
  const modules = await readFile(`/lib/modules/${release()}/modules.dep`, "utf8").catch(() => "");
  for (const match of modules.matchAll(/\/(erofs|overlay|fuse)\.ko/g)) names.add(match[1]!);
  return names;
}

/** Whether somebody takes connections on a Unix socket. */
async function answers(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    return await new Promise<boolean>((resolve) => {
      socket.setTimeout(CONNECT_TIMEOUT_MS, () => resolve(false));
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}

/** The nearest folder above a path that exists, for space and file system of a folder that is not made yet. */
async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    const exists = await access(folder).then(
      () => true,
      () => false,
    );
    if (exists || folder === "/") return folder;
  }
}
