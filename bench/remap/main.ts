/**
 * Question: what does a user namespace of its own cost a container's tree: with layers mounted idmapped, and with owners
 * changed file by file?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test. Everything is warm; nothing is synced.
 *
 *     node dist/bench/remap/main.js [--inodes 40000] [--mib 1600] [--layers 5] [--rounds 3] [--json]
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineFacts } from "../../src/bench/machine.js";
import { type Spread, spreadOf } from "../../src/bench/statistics.js";
import { loadBinding } from "../../src/fuse/index.js";
import {
  type IdMapping,
  type IdRange,
  idMappingOptions,
  idmappedLowers,
  mountAll,
  remapIntoUpper,
  remapTree,
  unmountAll,
} from "../../src/mounts/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";

const FILES_IN_FOLDER = 100;
const MIB = 1024 * 1024;
const binding = loadBinding();

interface Tree {
  readonly folder: string;
  /** Nearest first. */
  readonly lowers: readonly string[];
}

interface Figure {
  readonly milliseconds: number[];
  /** MiB on disk that one container costs beyond its layers. */
  readonly diskMiB: number[];
}
type Figures = Map<string, Figure>;

function mapping(inside: number, outside: number): IdMapping {
  const ranges: readonly IdRange[] = [{ inside, outside, size: 65_536 }];
  return { uids: ranges, gids: ranges };
}

const toContainer = mapping(0, 100_000);
const back = mapping(100_000, 0);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      inodes: { type: "string", default: "40000" },
      mib: { type: "string", default: "1600" },
      layers: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      json: { type: "boolean" },
    },
  });
  const size = { inodes: Number(values.inodes), mib: Number(values.mib), layers: Number(values.layers) };
  const figures = await measure(size, Number(values.rounds));
  const facts = {
    ...(await machineFacts()),
    tree: `${size.inodes} inodes, ${size.mib} MiB, ${size.layers} layers`,
  };
  if (values.json === true) console.log(JSON.stringify({ facts, results: plain(figures) }, null, 2));
  else print(facts, figures);
}

interface Size {
  readonly inodes: number;
  readonly mib: number;
  readonly layers: number;
}

async function measure(size: Size, rounds: number): Promise<Figures> {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-remap-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const tree = { folder, lowers: await makeLayers(folder, size) };
  const figures: Figures = new Map();
  for (let round = 0; round < rounds; round += 1) {
    for (const [title, way] of Object.entries(ways)) {
      const figure = figures.get(title) ?? { milliseconds: [], diskMiB: [] };
      figures.set(title, figure);
      const { milliseconds, diskMiB } = await way(tree);
      figure.milliseconds.push(milliseconds);
      figure.diskMiB.push(diskMiB);
      console.error(`${title}: ${milliseconds.toFixed(1)} ms, ${diskMiB.toFixed(1)} MiB`);
    }
  }
  return figures;
}

async function makeLayers(folder: string, { inodes, mib, layers }: Size): Promise<string[]> {
  const files = Math.floor(inodes / layers);
  const content = Buffer.alloc(Math.floor((mib * MIB) / inodes), "content");
  const lowers: string[] = [];
  for (let layer = 0; layer < layers; layer += 1) {
    const lower = join(folder, "layers", String(layer));
    for (let first = 0; first < files; first += FILES_IN_FOLDER) {
      const inner = join(lower, `l${layer}`, String(first));
      await mkdir(inner, { recursive: true });
      // The folder is an inode too.
      const count = Math.min(FILES_IN_FOLDER, files - first) - 1;
      await Promise.all(
        Array.from({ length: count }, (_, index) => writeFile(join(inner, `f${index}`), content)),
      );
    }
    lowers.push(lower);
  }
  return lowers;
}

type Way = (tree: Tree) => Promise<{ milliseconds: number; diskMiB: number }>;

const ways: Readonly<Record<string, Way>> = {
  "overlay without a mapping": async (tree) =>
    await inFolders(tree, async ({ own, target }) => {
      const mounts = overlay(own, tree.lowers);
      return await timed(async () => await mountAll({ binding, mounts, target }));
    }),
  "idmapped, by the overlay's options": async (tree) =>
    await inFolders(tree, async ({ own, target }) => {
      const mounts = overlay(own, tree.lowers, idMappingOptions(toContainer));
      return await timed(async () => await mountAll({ binding, mounts, target }));
    }),
  "idmapped, by kept mounts": async (tree) =>
    await inFolders(tree, async ({ folder, own, target }) => {
      const keeper = await idmappedLowers({ binding, folder: join(folder, "mapped") });
      const milliseconds = await timed(async () => {
        const lowers = await keeper.claim({ holder: "1", lowers: tree.lowers, mapping: toContainer });
        await mountAll({ binding, mounts: overlay(own, lowers), target });
      });
      await keeper.release("1");
      return milliseconds;
    }),
  "chown with metacopy": async (tree) => await chowned(tree, true),
  "chown with copies": async (tree) => await chowned(tree, false),
  "chown in place (a tree of its own)": async (tree) => {
    const root = join(tree.folder, "layers");
    const milliseconds = await timed(async () => {
      await remapTree({ binding, root, mapping: toContainer });
    });
    await remapTree({ binding, root, mapping: back });
    return { milliseconds, diskMiB: 0 };
  },
};

async function chowned(tree: Tree, isMetacopy: boolean): Promise<{ milliseconds: number; diskMiB: number }> {
  return await inFolders(tree, async ({ folder, own, target }) => {
    const [upper, work] = [join(folder, "owners"), join(folder, "owners-work")];
    await mkdir(upper);
    await mkdir(work);
    const { lowers } = tree;
    return await timed(async () => {
      await remapIntoUpper({ binding, lowers, upper, work, target, mapping: toContainer, isMetacopy });
      const mounts = overlay(own, [upper, ...lowers], isMetacopy ? ["metacopy=on"] : []);
      await mountAll({ binding, mounts, target });
    });
  });
}

interface Folders {
  readonly folder: string;
  /** Upper layer and work folder of the container. */
  readonly own: string;
  readonly target: string;
}

/** In folders of its own, which are measured and deleted afterwards. */
async function inFolders(
  tree: Tree,
  work: (folders: Folders) => Promise<number>,
): Promise<{ milliseconds: number; diskMiB: number }> {
  const folder = join(tree.folder, "container");
  const folders = { folder, own: join(folder, "own"), target: join(folder, "target") };
  for (const name of ["own/fs", "own/work", "target"]) await mkdir(join(folder, name), { recursive: true });
  const milliseconds = await work(folders);
  await command("stat", ["-c", "%u", join(folders.target, "l0", "0", "f0")]);
  await unmountAll({ binding, target: folders.target });
  const { stdout } = await command("du", ["-sxk", folder]);
  await rm(folder, { recursive: true });
  return { milliseconds, diskMiB: Number.parseInt(stdout, 10) / 1024 };
}

function overlay(own: string, lowers: readonly string[], further: readonly string[] = []) {
  const places = [`workdir=${join(own, "work")}`, `upperdir=${join(own, "fs")}`];
  const options = [...further, ...places, `lowerdir=${lowers.join(":")}`, "index=off"];
  return [{ type: "overlay", source: "overlay", target: "", options }];
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function plain(figures: Figures): Record<string, { milliseconds: Spread; diskMiB: Spread }> {
  return Object.fromEntries(
    [...figures].map(([title, { milliseconds, diskMiB }]) => [
      title,
      { milliseconds: spreadOf(milliseconds), diskMiB: spreadOf(diskMiB) },
    ]),
  );
}

function print(facts: Record<string, string>, figures: Figures): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)}${value}`);
  console.log(
    "\nmilliseconds until the container's tree is mounted: median (least to greatest); MiB on disk for it\n",
  );
  for (const [title, { milliseconds, diskMiB }] of figures) {
    const { median, least, greatest } = spreadOf(milliseconds);
    const time = `${median.toFixed(1)} (${least.toFixed(1)} to ${greatest.toFixed(1)})`;
    console.log(`${title.padEnd(36)}${time.padStart(32)}${spreadOf(diskMiB).median.toFixed(1).padStart(10)}`);
  }
}

await main();
