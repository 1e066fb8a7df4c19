import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LazuliError } from "../../errors/index.js";
import type { BenchReport } from "../contract.js";
import { readMachine } from "../machine.js";
import { Cleanup, dropCaches, unmountBelow } from "../tools/index.js";
import { Figures } from "./figures.js";
import { type ImageOrigin, serveImage } from "./image-origin.js";
import { type Operation, operations } from "./operations.js";
import { type Cost, Probe } from "./probe.js";
import { type PeerTree, prepareTrees, type Tree } from "./trees.js";

export interface BenchFsOptions {
  readonly origin: ImageOrigin;
  readonly rounds: number;
  /** Numbers of threads that do an operation at once. */
  readonly jobs: readonly number[];
  /** Names of operations.ts. */
  readonly operations: readonly string[];
  readonly peers: readonly PeerTree[];
  /** lazuli's own program, with the words before its command. */
  readonly program: readonly string[];
  /** Images of workloads are kept here. */
  readonly cacheFolder: string;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Measures each operation on each tree, cold and warm, in rounds in which every tree has its turn. Must run as root.
 * @throws FAILED_PRECONDITION `compiler-missing`, and what pulling and mounting throw
 */
export async function benchFs(options: BenchFsOptions): Promise<BenchReport> {
  const { rounds, tell, signal } = options;
  const startedAt = new Date().toISOString();
  await using cleanup = new Cleanup();
  const work = await mkdtemp(join(tmpdir(), "lazuli-bench-fs-"));
  cleanup.add(async () => {
    await unmountBelow(work);
    await rm(work, { recursive: true, force: true });
  });
  const reference = await serveImage({ ...options, work, cleanup });
  const { trees, notes, ladder } = await prepareTrees({ ...options, reference, work, cleanup });
  // An image unpacked has files that only its format needs; what lazuli shows is what all trees have.
  const listed = trees.find(({ messages }) => messages !== undefined) ?? trees[0]!;
  const probe = await Probe.make({ work, tree: listed.folder, signal });
  const figures = new Figures(trees, rounds);
  const failures: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const [turn, tree] of turned(trees, round).entries()) {
      tell(`round ${round + 1} of ${rounds}, ${tree.name} (${turn + 1} of ${trees.length})`);
      await measureTree({ ...options, tree, round, probe, figures, failures });
    }
  }
  return {
    version: 1,
    kind: "fs",
    question: "What do file operations cost in a container's tree, by how the tree is mounted?",
    startedAt,
    machine: await readMachine([
      ["containerd", ["--version"]],
      ["fusermount", ["--version"]],
    ]),
    conditions: [
      ["tree", treeText(options.origin)],
      ["lazuli's rungs", ladder],
      [
        "cold",
        "the kernel's caches of pages, names and inodes were dropped before; all bytes were on this machine's disk",
      ],
      ["warm", "the same once more right after it"],
      ["rounds", `${rounds}, every tree has its turn in each, in another order`],
    ],
    series: figures.series(),
    repeatability: figures.repeatability(),
    notes: [...notes, ...failures],
  };
}

interface TreeTurn extends BenchFsOptions {
  readonly tree: Tree;
  readonly round: number;
  readonly probe: Probe;
  readonly figures: Figures;
  readonly failures: string[];
}

async function measureTree(turn: TreeTurn): Promise<void> {
  const { tree, round, figures } = turn;
  let warmMessages = 0;
  await dropCaches();
  for (const jobs of turn.jobs) {
    for (const operation of operations) {
      if (!turn.operations.includes(operation.name)) continue;
      turn.signal.throwIfAborted();
      // Only the first drop of a turn has bytes of ours to write back.
      await writeFile("/proc/sys/vm/drop_caches", "3");
      const cold = await attempt(turn, operation, jobs);
      const before = await tree.messages?.();
      const warm = await attempt(turn, operation, jobs);
      warmMessages += ((await tree.messages?.()) ?? 0) - (before ?? 0);
      for (const [state, cost] of [
        ["cold", cold],
        ["warm", warm],
      ] as const) {
        figures.add({ tree: tree.name, round, operation, state, jobs, value: figureOf(operation, cost) });
      }
    }
  }
  if (tree.messages !== undefined) figures.addMessages(tree.name, round, warmMessages);
}

/** A tree that can't do it has no figure, and the report says why. */
async function attempt(turn: TreeTurn, operation: Operation, jobs: number): Promise<Cost | undefined> {
  const { tree, probe, failures, signal } = turn;
  try {
    return await probe.run({ operation: operation.name, folder: tree.folder, jobs, signal });
  } catch (thrown) {
    signal.throwIfAborted();
    const why = LazuliError.from(thrown)
      .message.replace(/^.* ended with \d+:/s, "")
      .replaceAll("\n", " ")
      .trim();
    const text = `${tree.name}: ${operation.meaning} failed: ${why}`;
    if (!failures.includes(text)) failures.push(text);
    return undefined;
  }
}

/** What has nothing to work on, e.g. a tree without symlinks, has no figure. */
function figureOf({ unit }: Operation, cost: Cost | undefined): number | undefined {
  if (cost === undefined || cost.nanoseconds === 0) return undefined;
  if (unit === "ms") return cost.count === 0 ? undefined : cost.nanoseconds / cost.count / 1e6;
  return cost.bytes === 0 ? undefined : cost.bytes / 2 ** 20 / (cost.nanoseconds / 1e9);
}

/** Another first one in each round. */
function turned<Item>(items: readonly Item[], by: number): readonly Item[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

function treeText(origin: ImageOrigin): string {
  if (origin.kind === "image") return `the image ${origin.reference}`;
  if (origin.kind === "tree") return `an image in eStargz of the folder ${origin.folder}`;
  return `the image of ${origin.workload.name} in eStargz`;
}
