/**
 * Question: how fast are the snapshotters on the wire, against Debian's containerd with the same client in the same run?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/snapshots/main.js [--rounds 3] [--snapshots 1000] [--json]
 *
 * lazuli syncs a layer's bytes before it acknowledges the commit, containerd does not: "commit 10 MiB" compares different
 * promises, and "commit 10 MiB" of containerd followed by a syncfs is given beside it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineFacts } from "../../src/bench/machine.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { type Peer, peers } from "../peer.js";
import { benchsuite, emptyLayers, fill, listAll, type Subject } from "./work.js";

const EMPTY_LAYERS = 100;
const LAYERS = 16;
const LISTS = 5;

type Figures = Map<string, number[]>;

interface Measured {
  readonly snapshotter: string;
  readonly figures: Readonly<Record<string, Figures>>;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      snapshots: { type: "string", default: "1000" },
      json: { type: "boolean" },
    },
  });
  const counts = { rounds: Number(values.rounds), snapshots: Number(values.snapshots) };
  const results: Measured[] = [];
  for (const snapshotter of ["overlayfs", "btrfs", "native"]) {
    results.push({ snapshotter, figures: await measure(snapshotter, counts) });
  }
  const facts = await machineFacts();
  if (values.json === true) console.log(JSON.stringify({ facts, results: results.map(plain) }, null, 2));
  else print(facts, results);
}

/** Both daemons at once, so that each round of one has a round of the other beside it. */
async function measure(
  snapshotter: string,
  { rounds, snapshots }: { readonly rounds: number; readonly snapshots: number },
): Promise<Measured["figures"]> {
  await using cleanup = new Cleanup();
  const folder =
    snapshotter === "btrfs"
      ? await btrfsDisk({ teardown: (step) => cleanup.add(step) }, { sizeBytes: 8 * 2 ** 30 })
      : await mkdtemp(join(tmpdir(), "lazuli-bench-snapshots-"));
  if (snapshotter !== "btrfs") cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const figures: Record<string, Figures> = {};
  const start = async (name: string): Promise<Peer> =>
    await peers[name]!(
      join(folder, name),
      name === "lazuli" ? [`[snapshotters.${snapshotter}]\ntype = "${snapshotter}"`] : [],
    );
  for (const name of Object.keys(peers)) figures[name] = new Map();
  const add = (name: string, title: string, milliseconds: number): void => {
    const of = figures[name]!;
    of.set(title, [...(of.get(title) ?? []), milliseconds]);
  };
  const running = new Map<string, Peer>();
  for (const name of Object.keys(peers)) running.set(name, await start(name));
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, peer] of running) {
        const subject: Subject = { peer, snapshotter, target: join(folder, name, "mounted") };
        const note = (title: string, milliseconds: number): void => add(name, title, milliseconds);
        await emptyLayers(subject, { count: EMPTY_LAYERS, note });
        await benchsuite(subject, { layers: LAYERS, note });
        console.error(`${snapshotter}: ${name}: round ${round + 1} of ${rounds}`);
      }
    }
    for (const [name, first] of [...running]) {
      await fill({ peer: first, snapshotter, target: "" }, snapshots);
      for (let round = 0; round < LISTS; round += 1) {
        await running.get(name)![Symbol.asyncDispose]();
        running.delete(name);
        const started = performance.now();
        const peer = await start(name);
        running.set(name, peer);
        const subject = { peer, snapshotter, target: "" };
        await listAll(subject);
        add(name, `restart with ${snapshots} snapshots, until they are listed`, performance.now() - started);
        const listed = performance.now();
        await listAll(subject);
        add(name, `list ${snapshots} snapshots`, performance.now() - listed);
      }
      console.error(`${snapshotter}: ${name}: ${snapshots} snapshots`);
    }
  } finally {
    for (const peer of running.values()) await peer[Symbol.asyncDispose]();
  }
  return figures;
}

function plain({ snapshotter, figures }: Measured) {
  const spreads = Object.entries(figures).map(([name, of]) => [
    name,
    Object.fromEntries([...of].map(([title, values]) => [title, spreadOf(values)])),
  ]);
  return { snapshotter, milliseconds: Object.fromEntries(spreads) };
}

function print(facts: Record<string, string>, results: readonly Measured[]): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)}${value}`);
  console.log(
    "\nmilliseconds, median (least to greatest); the ratio is lazuli's advantage, above 1 it is ahead",
  );
  for (const { snapshotter, figures } of results) {
    console.log(`\n${snapshotter}`);
    for (const [title, theirs] of figures.containerd!) {
      const [left, right] = [spreadOf(theirs), spreadOf(figures.lazuli!.get(title)!)];
      const shown = ({ median, least, greatest }: typeof left): string =>
        `${median.toPrecision(3)} (${least.toPrecision(3)} to ${greatest.toPrecision(3)})`;
      console.log(`  ${title}`);
      console.log(
        `    containerd ${shown(left)}   lazuli ${shown(right)}   ${(left.median / right.median).toFixed(2)} x`,
      );
    }
  }
}

await main();
