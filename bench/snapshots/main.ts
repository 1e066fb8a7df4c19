/**
 * Question: how fast are the snapshotters on the wire, against Debian's containerd with the same client in the same run?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/snapshots/main.js [--rounds 3] [--snapshots 1000] [--snapshotter NAME]... [--quick] [--json FILE] [--html FILE]
 *
 * lazuli syncs a layer's bytes before it acknowledges the commit, containerd does not: "commit 10 MiB" compares different
 * promises.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { Collected, emit } from "../collected.js";
import { type Peer, peers } from "../peer.js";
import { benchsuite, emptyLayers, fill, listAll, type Subject } from "./work.js";

const LISTS = 5;

interface Counts {
  readonly rounds: number;
  readonly snapshots: number;
  readonly emptyLayers: number;
  readonly layers: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      snapshots: { type: "string", default: "1000" },
      snapshotter: { type: "string", multiple: true, default: ["overlayfs", "btrfs", "native"] },
      quick: { type: "boolean" },
      json: { type: "string" },
      html: { type: "string" },
    },
  });
  const { rounds, snapshots } = { rounds: Number(values.rounds), snapshots: Number(values.snapshots) };
  const layers = values.quick === true ? { emptyLayers: 5, layers: 3 } : { emptyLayers: 100, layers: 16 };
  const collected = new Collected(Object.keys(peers));
  for (const snapshotter of values.snapshotter) {
    await measure(snapshotter, { rounds, snapshots, ...layers }, collected);
  }
  const report = await collected.report({
    question: "How fast are the snapshotters, asked over the socket?",
    conditions: [
      ["rounds", `${rounds}, each of one beside one of the other`],
      ["layers", `${layers.layers} of 10 MiB, ${layers.emptyLayers} empty`],
    ],
    notes: [
      'lazuli syncs a layer\'s bytes before it acknowledges the commit, containerd does not: the rows "commit 10 MiB" compare different promises.',
    ],
  });
  await emit(report, values);
}

/** Both daemons at once, so that each round of one has a round of the other beside it. */
async function measure(
  snapshotter: string,
  { rounds, snapshots, emptyLayers: count, layers }: Counts,
  collected: Collected,
): Promise<void> {
  await using cleanup = new Cleanup();
  const folder =
    snapshotter === "btrfs"
      ? await btrfsDisk({ teardown: (step) => cleanup.add(step) }, { sizeBytes: 8 * 2 ** 30 })
      : await mkdtemp(join(tmpdir(), "lazuli-bench-snapshots-"));
  if (snapshotter !== "btrfs") cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const start = async (name: string): Promise<Peer> =>
    await peers[name]!(
      join(folder, name),
      name === "lazuli" ? [`[snapshotters.${snapshotter}]\ntype = "${snapshotter}"`] : [],
    );
  const add = (contestant: string, title: string, value: number): void =>
    collected.add({ contestant, subject: snapshotter, measure: title, unit: "ms", value });
  const running = new Map<string, Peer>();
  for (const name of Object.keys(peers)) running.set(name, await start(name));
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, peer] of running) {
        const subject: Subject = { peer, snapshotter, target: join(folder, name, "mounted") };
        const note = (title: string, milliseconds: number): void => add(name, title, milliseconds);
        await emptyLayers(subject, { count, note });
        await benchsuite(subject, { layers, note });
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
}

await main();
