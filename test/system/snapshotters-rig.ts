import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { delay } from "../../src/async/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import type { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { type RunningSnapshotter, startSnapshotter } from "../../testing/rig/snapshotter.js";
import { formatFiles } from "../../testing/rig/tree-listing.js";

/** Ours, each beside the one of Debian's containerd that it is compared with. */
export const counterparts = {
  overlayfs: "overlayfs",
  btrfs: "btrfs",
  native: "native",
  lazy: "overlayfs",
} as const;
export type Kind = keyof typeof counterparts;
export const kinds = Object.keys(counterparts) as readonly Kind[];

/** One of the two that get the same commands: containerd's own snapshotter, or ours plugged into it. */
export interface Side {
  readonly name: "theirs" | "ours";
  readonly snapshotter: string;
  /** A namespace for each pair's side, so that neither finds what the other left. */
  readonly namespace: string;
}

/** A Debian containerd with all of ours plugged in, beside its own, and a btrfs for those that need one. */
export interface PluggedNode {
  readonly folder: string;
  readonly containerd: Containerd;
  readonly lazuli: RunningSnapshotter;
  sides(kind: Kind): { readonly theirs: Side; readonly ours: Side };
  /** Where a kind of ours keeps its trees. */
  rootOf(kind: Kind): string;
  /** Ends lazuli by a signal. */
  stop(signal: NodeJS.Signals): Promise<void>;
  /** Starts a lazuli that was ended on the same folders, and waits until containerd is connected to it. */
  start(): Promise<void>;
}

export interface PluggedOptions {
  /** Whether ours share lazuli's one socket, or have sockets of their own. */
  readonly sockets: "shared" | "separate";
  readonly collectsOnRequest?: boolean;
}

export async function startPlugged(cleanup: Cleanup, options: PluggedOptions): Promise<PluggedNode> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-plugged-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const disk = await btrfsDisk({ teardown: (step) => cleanup.add(step) });
  const [lazuliFolder, containerdFolder] = [join(folder, "lazuli"), join(folder, "containerd")];
  const socketOf = (kind: Kind): string =>
    join(lazuliFolder, options.sockets === "shared" ? "lazuli.sock" : `${kind}.sock`);
  const rootOf = (kind: Kind): string =>
    kind === "btrfs"
      ? join(disk, "ours")
      : kind === "lazy"
        ? join(folder, "lazuli/root")
        : join(folder, kind);
  const tables = kinds.map((kind) =>
    [
      `[snapshotters.lz-${kind}]`,
      `type = "${kind}"`,
      ...(kind === "lazy" ? [] : [`root = "${rootOf(kind)}"`]),
      ...(options.sockets === "shared" ? [] : [`address = "${socketOf(kind)}"`]),
    ].join("\n"),
  );
  const config = `${tables.join("\n")}\n[containerd]\naddress = "${join(containerdFolder, "containerd.sock")}"\n`;
  const open = async (): Promise<RunningSnapshotter> =>
    await startSnapshotter({ folder: lazuliFolder, config });
  let lazuli: RunningSnapshotter | undefined;
  cleanup.add(() => unmountBelow(lazuliFolder));
  cleanup.add(() => lazuli?.stop());
  lazuli = await open();
  await mkdir(join(disk, "theirs"));
  const plugins = kinds.map(
    (kind) => `[proxy_plugins.lz-${kind}]\ntype = "snapshot"\naddress = "${socketOf(kind)}"`,
  );
  const btrfs = `[plugins."io.containerd.snapshotter.v1.btrfs"]\nroot_path = "${join(disk, "theirs")}"`;
  const containerd = await startContainerd({
    folder: containerdFolder,
    collectsOnRequest: options.collectsOnRequest ?? false,
    config: `${btrfs}\n${plugins.join("\n")}\n`,
  });
  cleanup.add(() => containerd.stop());
  if (options.collectsOnRequest === true) await collectOnce(containerd, "default");
  return {
    folder,
    containerd,
    get lazuli() {
      return lazuli!;
    },
    sides: (kind) => ({
      theirs: { name: "theirs", snapshotter: counterparts[kind], namespace: `theirs-${kind}` },
      ours: { name: "ours", snapshotter: `lz-${kind}`, namespace: `ours-${kind}` },
    }),
    rootOf,
    stop: async (signal) => await lazuli!.stop(signal),
    start: async () => {
      lazuli = await open();
      await Promise.all(kinds.map(async (kind) => await untilConnected(containerd, `lz-${kind}`)));
    },
  };
}

const CONNECT_TRIES = 100;
const PROBE = ["--namespace", "probe"];

/**
 * containerd comes back to a socket that was gone only when its own pause between tries, up to 3 s, is over. It answers
 * by itself what it can: only a change goes through to the snapshotter.
 */
async function untilConnected(containerd: Containerd, snapshotter: string): Promise<void> {
  const snapshots = [...PROBE, "snapshots", "--snapshotter", snapshotter];
  for (let attempt = 0; attempt < CONNECT_TRIES; attempt += 1) {
    const { code } = await containerd.ctr([...snapshots, "prepare", "probe"], { allow: [1] });
    if (code === 0) {
      await containerd.ctr([...snapshots, "rm", "probe"]);
      return;
    }
    await delay(100);
  }
  throw new Error(`containerd did not connect to ${snapshotter} again`);
}

/** Has containerd collect now, and a snapshotter of it clean up. */
async function collectNow(containerd: Pick<Containerd, "ctr">, side: Side): Promise<void> {
  const ctr = async (...words: string[]): Promise<void> => {
    await containerd.ctr(["--namespace", side.namespace, ...words]);
  };
  // It looks only at snapshotters of which something was removed.
  await ctr("snapshots", "--snapshotter", side.snapshotter, "prepare", "for-the-collector");
  await ctr("snapshots", "--snapshotter", side.snapshotter, "rm", "for-the-collector");
  await collectOnce(containerd, side.namespace);
}

/** Has a containerd collect now. One that was just started would do so by itself, in the middle of what comes next. */
export async function collectOnce(containerd: Pick<Containerd, "ctr">, namespace: string): Promise<void> {
  const leases = ["--namespace", namespace, "leases"];
  await containerd.ctr([...leases, "create", "--id", "for-the-collector"]);
  await containerd.ctr([...leases, "rm", "--sync", "for-the-collector"]);
}

const COLLECT_TRIES = 20;

/**
 * The trees that a kind of ours has when containerd has collected all that it does not know. One collection may be too
 * early: containerd's answer comes with the end of any, also of one that had begun before.
 */
export async function leftBelow(node: PluggedNode, kind: Kind): Promise<string[]> {
  let left: string[] = [];
  for (let attempt = 0; attempt < COLLECT_TRIES; attempt += 1) {
    await collectNow(node.containerd, node.sides(kind).ours);
    left = await treesBelow(node.rootOf(kind), kind);
    if (left.length === 0) break;
    await delay(100);
  }
  return left;
}

async function treesBelow(root: string, kind: Kind): Promise<string[]> {
  const places = kind === "btrfs" ? ["active", "snapshots", "view"] : ["snapshots"];
  const trees: string[] = [];
  for (const place of places)
    for (const name of await readdir(join(root, place))) trees.push(join(place, name));
  return trees;
}

/** Mount points at or below folders, with what is mounted. */
export async function mountsBelow(...folders: readonly string[]): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines
    .map((line) => line.split(" "))
    .filter(([, , , , target = ""]) =>
      folders.some((folder) => target === folder || target.startsWith(`${folder}/`)),
    )
    .map((fields) => `${fields[4]} ${fields[fields.indexOf("-") + 1]}`)
    .sort();
}

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const anyCode = Array.from({ length: 256 }, (_, code) => code);

interface AskedNode {
  readonly folder: string;
  readonly containerd: Pick<Containerd, "ctr" | "address">;
}

/** What one `ctr` of a side says: with diffs as digests of their contents, and times, ids and places masked. */
export class Asker {
  readonly #node: AskedNode;
  readonly side: Side;
  /** Numbers of snapshots and subvolumes, by when they were first seen. */
  readonly #numbers = new Map<string, number>();

  constructor(node: AskedNode, side: Side) {
    this.#node = node;
    this.side = side;
  }

  async ctr(words: readonly string[]): Promise<Said> {
    return this.#masked(await this.#run(words));
  }

  async snapshots(...words: readonly string[]): Promise<Said> {
    return await this.ctr(["snapshots", "--snapshotter", this.side.snapshotter, ...words]);
  }

  /** The contents of a diff by their digest; what is no diff as it is. */
  async diff(...words: readonly string[]): Promise<Said> {
    const file = await mkdtemp(join(this.#node.folder, "diff-"));
    const line = 'file=$1; shift; exec ctr "$@" > "$file/out"';
    const { code, stderr } = await command(
      "bash",
      [
        ...["-c", line, "diff", file, "--address", this.#node.containerd.address],
        ...["--namespace", this.side.namespace, "snapshots", "--snapshotter", this.side.snapshotter, "diff"],
        ...words,
      ],
      { allow: anyCode },
    );
    const bytes = await readFile(join(file, "out"));
    await rm(file, { recursive: true });
    const content = comparableTar(bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
    const digest = createHash("sha256").update(content).digest("hex");
    return this.#masked({ code, stderr, stdout: `${content.length} bytes, sha256 ${digest}` });
  }

  /** Runs a script in a snapshot, mounted as ctr says. */
  async within(key: string, script: string): Promise<Said> {
    const folder = await mkdtemp(join(this.#node.folder, "mount-"));
    const { stdout } = await this.#run([
      ...["snapshots", "--snapshotter", this.side.snapshotter],
      ...["mounts", folder, key],
    ]);
    await command("bash", ["-ec", stdout]);
    try {
      return this.#masked(await command("bash", ["-euc", script], { cwd: folder, allow: anyCode }));
    } finally {
      await command("umount", [folder]);
      await rm(folder, { recursive: true });
    }
  }

  async #run(words: readonly string[]): Promise<Said> {
    return await this.#node.containerd.ctr(["--namespace", this.side.namespace, ...words], {
      allow: anyCode,
    });
  }

  #masked({ code, stdout, stderr }: Said): Said {
    return { code, stdout: treeInOrder(this.#mask(stdout)), stderr: this.#mask(stderr) };
  }

  #mask(text: string): string {
    const times: string[] = [];
    return (
      text
        // Which of the times in one answer are the same is part of it.
        .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, (time) => {
          if (!times.includes(time)) times.push(time);
          return `<time-${times.indexOf(time) + 1}>`;
        })
        .replaceAll(this.side.namespace, "<namespace>")
        // Numbers go up in the metadata of both; how far others have come by then says nothing.
        .replace(/<namespace>\/\d+\//g, "<namespace>/<n>/")
        // Of containerd's own the name is that of the mount's type too.
        .replace(/\blz-(\w+)/g, (_all, kind: Kind) => counterparts[kind])
        .replace(
          /[^ ,="':]*\/(snapshots|active|view)\/(\d+)(?=[/ ,"'\n]|$)/g,
          (_all, place, id) => `<root>/${place}/${this.#number(`snapshot ${id}`)}`,
        )
        .replace(/subvolid=(\d+)/g, (_all, id) => `subvolid=${this.#number(`subvolume ${id}`)}`)
        .replace(/(mount|diff|view)-[A-Za-z0-9]{6}/g, "$1-<random>")
        .replace(/elapsed: *[\d.]+ *m?s|total: *[\d.]+ *[KMG]?i?B?( \([^)]*\))?/g, "<speed>")
        // The order of a Go map.
        .replace(/^\S+=\S*(,\S+=\S*)+$/gm, (labels) => labels.split(",").sort().join(","))
        .replace(/[ \t]+/g, " ")
    );
  }

  #number(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    this.#numbers.set(name, this.#numbers.size + 1);
    return this.#numbers.size;
  }
}

const BLOCK = 512;
const NAME_END = 100;
const SIZE_AT = 124;
const TIME_AT = 136;
const TYPE_AT = 156;

/**
 * A tar without what two diffs of the same tree may differ in: the time of whiteouts, which is that of the diff, and the
 * files that are there for lazy pulling, which a lazy layer does not show.
 */
function comparableTar(tar: Buffer): Buffer {
  const kept: Buffer[] = [];
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString("latin1", at, at + NAME_END).replace(/\0.*/s, "");
    // The checksum stands behind the time.
    if (/(^|\/)\.wh\./.test(name)) tar.fill("0", at + TIME_AT, at + TYPE_AT);
    const size = Number.parseInt(tar.toString("latin1", at + SIZE_AT, at + TIME_AT), 8);
    const end = at + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (!formatFiles.includes(name)) kept.push(tar.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}

/** `ctr snapshots tree` prints the trees in the order of a Go map. */
function treeInOrder(stdout: string): string {
  if (!/^ *\\_ /m.test(stdout)) return stdout;
  return stdout
    .split(/\n(?! )/)
    .sort()
    .join("\n");
}
