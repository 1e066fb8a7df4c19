import { join } from "node:path";
import { delay } from "../../async/index.js";
import { LazuliError } from "../../errors/index.js";
import { type Cleanup, command } from "../tools/index.js";
import { fuseNativeMissing, mountFuseNative } from "./fuse-native.js";
import { LAZY_SNAPSHOTTER, LazuliNode, LOCAL_SNAPSHOTTER } from "./lazuli-node.js";

/** A tree equal to the image's, on a file system of somebody else's. */
export interface PeerTree {
  readonly name: string;
  readonly folder: string;
}

/** The image's tree on one file system. */
export interface Tree extends PeerTree {
  readonly isBaseline: boolean;
  /** FUSE messages so far; undefined: lazuli does not serve it. */
  readonly messages: (() => Promise<number>) | undefined;
}

export interface Trees {
  readonly trees: readonly Tree[];
  readonly notes: readonly string[];
  /** How lazuli's rungs were mounted. */
  readonly ladder: string;
}

export interface PrepareTreesOptions {
  readonly reference: string;
  readonly work: string;
  readonly program: readonly string[];
  readonly peers: readonly PeerTree[];
  readonly cleanup: Cleanup;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

const LOCAL_TRIES = 150;
const LOCAL_PAUSE_MS = 100;

/** The same tree several times, all of its bytes on this machine, the baseline first. */
export async function prepareTrees(options: PrepareTreesOptions): Promise<Trees> {
  const { reference, work, cleanup, tell, signal } = options;
  const notes: string[] = [];
  const start = async (rung: "erofs" | "fuse-tree"): Promise<LazuliNode> =>
    await LazuliNode.start({ rung, folder: join(work, rung), program: options.program, cleanup, signal });
  tell("pulling the image for overlayfs");
  const tree = await startFirst(start, notes);
  await tree.node.pull(reference, LOCAL_SNAPSHOTTER);
  const local = await tree.node.mount(reference, LOCAL_SNAPSHOTTER);
  const trees: Tree[] = [{ name: "overlayfs, local", folder: local, isBaseline: true, messages: undefined }];
  const nodes =
    tree.rung === "erofs" ? [tree, { rung: "fuse-tree" as const, node: await start("fuse-tree") }] : [tree];
  const chosen: string[] = [];
  for (const { rung, node } of nodes) {
    tell(`reading all of the image on the rung ${rung}`);
    await node.pull(reference, LAZY_SNAPSHOTTER);
    const folder = await node.mount(reference, LAZY_SNAPSHOTTER);
    await readAll(folder, signal);
    const messages = async (): Promise<number> =>
      (await node.status()).counters["lazuli_fuse_messages_total"] ?? 0;
    trees.push({
      name: rung === "erofs" ? "lazuli, EROFS over FUSE" : "lazuli, FUSE tree",
      folder,
      isBaseline: false,
      messages,
    });
    if (rung === "erofs" && (await untilLocal(node, signal))) {
      const complete = await node.mount(reference, LAZY_SNAPSHOTTER);
      trees.push({ name: "lazuli, complete layers", folder: complete, isBaseline: false, messages });
    } else if (rung === "erofs")
      notes.push("lazuli, complete layers were left out: they did not leave FUSE in time");
    chosen.push(...(await node.status()).ladder.filter((step) => step.chosen).map((step) => step.name));
  }
  trees.push(...(await fuseNativeTree({ source: local, work, cleanup }, notes)));
  for (const peer of options.peers) trees.push({ ...peer, isBaseline: false, messages: undefined });
  return { trees, notes, ladder: chosen.join(", ") };
}

/** EROFS where the kernel has it. */
async function startFirst(
  start: (rung: "erofs" | "fuse-tree") => Promise<LazuliNode>,
  notes: string[],
): Promise<{ readonly rung: "erofs" | "fuse-tree"; readonly node: LazuliNode }> {
  try {
    return { rung: "erofs", node: await start("erofs") };
  } catch (thrown) {
    notes.push(`EROFS was left out: ${LazuliError.from(thrown).message}`);
    return { rung: "fuse-tree", node: await start("fuse-tree") };
  }
}

async function readAll(folder: string, signal: AbortSignal): Promise<void> {
  await command(
    "bash",
    ["-c", 'find "$1" -xdev -type f -print0 | xargs -0 cat > /dev/null', "bash", folder],
    { signal },
  );
}

/** Complete layers get their own mount when all is checked, a while after the last byte. */
async function untilLocal(node: LazuliNode, signal: AbortSignal): Promise<boolean> {
  for (let attempt = 0; attempt < LOCAL_TRIES; attempt += 1) {
    if (await node.isLocal()) return true;
    await delay(LOCAL_PAUSE_MS, { signal });
  }
  return false;
}

async function fuseNativeTree(
  options: { readonly source: string; readonly work: string; readonly cleanup: Cleanup },
  notes: string[],
): Promise<readonly Tree[]> {
  const missing = fuseNativeMissing();
  try {
    if (missing === undefined) {
      const folder = await mountFuseNative(options);
      return [{ name: "fuse-native", folder, isBaseline: false, messages: undefined }];
    }
    notes.push(missing);
  } catch (thrown) {
    notes.push(`fuse-native was left out: ${LazuliError.from(thrown).message}`);
  }
  return [];
}
