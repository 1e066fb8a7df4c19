import type { BenchReport } from "../contract.js";
import { Collected } from "./collected.js";
import { measureContent } from "./measure-content.js";
import { measureSnapshots } from "./measure-snapshots.js";
import { peerNames } from "./peer.js";

const MIB = 1024 * 1024;

export interface BenchStoreOptions {
  /** At least 1. */
  readonly rounds: number;
  /** Tiny blobs that are listed and collected, and snapshots that are listed after a restart. */
  readonly objects: number;
  readonly snapshots: number;
  readonly snapshotters: readonly string[];
  /** Fewer and smaller things, to see that all works. */
  readonly isQuick: boolean;
  /** Existing; everything happens below it. Its file system is what is measured. */
  readonly folder: string;
  /** lazuli's own program, with the words before its command. */
  readonly program: readonly string[];
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The content store, the metadata, the collection of garbage and the snapshotters, asked over the socket by the same client, of
 * `lazuli daemon` and of the installed containerd.
 *
 * @throws what starting a daemon or a call to it throws, and the signal's reason
 */
export async function benchStore(options: BenchStoreOptions): Promise<BenchReport> {
  const { rounds, objects, snapshots, isQuick, folder, program, tell, signal } = options;
  const sizes = isQuick
    ? { rounds, objects, largeBytes: MIB, smallBlobs: 20, images: 20 }
    : { rounds, objects, largeBytes: 100 * MIB, smallBlobs: 500, images: 500 };
  const counts = {
    rounds,
    snapshots,
    ...(isQuick ? { emptyLayers: 5, layers: 3 } : { emptyLayers: 100, layers: 16 }),
  };
  const collected = new Collected(peerNames);
  for (const contestant of peerNames) {
    await measureContent(contestant, {
      ...{ folder, program, sizes, signal },
      add: (measurement) => {
        collected.add({ contestant, ...measurement });
        const { subject, measure, value, unit } = measurement;
        tell(`${contestant}: ${subject}: ${measure}: ${value.toPrecision(4)} ${unit}`);
      },
    });
  }
  for (const snapshotter of options.snapshotters) {
    const add: Parameters<typeof measureSnapshots>[1]["add"] = (measurement) => collected.add(measurement);
    await measureSnapshots(snapshotter, { folder, program, counts, add, tell, signal });
  }
  return await collected.report({
    question:
      "How fast are the content store, the metadata, the collection of garbage and the snapshotters, asked over the socket?",
    conditions: [
      ["rounds", String(rounds)],
      ["objects", String(objects)],
      ["large blobs", `${sizes.largeBytes / MIB} MiB`],
      ["layers", `${counts.layers} of 10 MiB, ${counts.emptyLayers} empty`],
    ],
    notes: [
      "Blobs and images were measured of one after the other, not in turns: drift of the machine counts.",
      'lazuli syncs a layer\'s bytes before it acknowledges the commit, containerd does not: the rows "commit 10 MiB" compare different promises.',
    ],
  });
}
