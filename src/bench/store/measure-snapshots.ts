import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Cleanup, unmountBelow } from "../tools/index.js";
import type { Measurement } from "./collected.js";
import { type Peer, type PeerName, peerNames, peers } from "./peer.js";
import { benchsuite, emptyLayers, fill, listSnapshots, type Subject } from "./snapshot-work.js";

export interface SnapshotCounts {
  readonly rounds: number;
  readonly snapshots: number;
  readonly emptyLayers: number;
  readonly layers: number;
}

const LISTS = 5;

/** Both daemons at once, so that each round of one has a round of the other beside it. */
export async function measureSnapshots(
  snapshotter: string,
  options: {
    readonly folder: string;
    readonly program: readonly string[];
    readonly counts: SnapshotCounts;
    readonly add: (measurement: Measurement) => void;
    readonly tell: (line: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { program, counts, tell, signal } = options;
  const { rounds, snapshots, emptyLayers: count, layers } = counts;
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(options.folder, "lazuli-bench-snapshots-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const start = async (name: PeerName): Promise<Peer> => {
    const tables = name === "lazuli" ? [`[snapshotters.${snapshotter}]\ntype = "${snapshotter}"`] : [];
    return await peers[name]({ folder: join(folder, name), program, tables });
  };
  const add = (contestant: PeerName, title: string, value: number): void =>
    options.add({ contestant, subject: snapshotter, measure: title, unit: "ms", value });
  const running = new Map<PeerName, Peer>();
  for (const name of peerNames) running.set(name, await start(name));
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, peer] of running) {
        signal.throwIfAborted();
        const subject: Subject = { peer, snapshotter, target: join(folder, name, "mounted") };
        const note = (title: string, milliseconds: number): void => add(name, title, milliseconds);
        await emptyLayers(subject, { count, note });
        await benchsuite(subject, { layers, note });
        tell(`${snapshotter}: ${name}: round ${round + 1} of ${rounds}`);
      }
    }
    for (const [name, first] of [...running]) {
      await fill({ peer: first, snapshotter, target: "" }, snapshots);
      for (let round = 0; round < LISTS; round += 1) {
        signal.throwIfAborted();
        await running.get(name)![Symbol.asyncDispose]();
        running.delete(name);
        const started = performance.now();
        const peer = await start(name);
        running.set(name, peer);
        const subject = { peer, snapshotter, target: "" };
        await listSnapshots(subject);
        add(name, `restart with ${snapshots} snapshots, until they are listed`, performance.now() - started);
        const listed = performance.now();
        await listSnapshots(subject);
        add(name, `list ${snapshots} snapshots`, performance.now() - listed);
      }
      tell(`${snapshotter}: ${name}: ${snapshots} snapshots`);
    }
  } finally {
    for (const peer of running.values()) await peer[Symbol.asyncDispose]();
  }
}
