import { randomBytes } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { loadBinding } from "../../fuse/index.js";
import { mountAll, unmountAll } from "../../mounts/index.js";
import { NAMESPACE, type Peer } from "./peer.js";

const headers = { "containerd-namespace": NAMESPACE };
const labels = { "containerd.io/gc.root": "bench" };
const FILES = 10;
const FILE_BYTES = 1024 * 1024;

/** One snapshotter of one daemon. */
export interface Subject {
  readonly peer: Peer;
  readonly snapshotter: string;
  /** Where mounts are made. */
  readonly target: string;
}

/** Adds one measurement in milliseconds. */
export type Note = (title: string, milliseconds: number) => void;

async function timed<Result>(
  note: (milliseconds: number) => void,
  work: () => Promise<Result>,
): Promise<Result> {
  const started = performance.now();
  const result = await work();
  note(performance.now() - started);
  return result;
}

/** Empty layers, each made, committed and removed: what the metadata and the folders cost. */
export async function emptyLayers(subject: Subject, options: { count: number; note: Note }): Promise<void> {
  const { peer, snapshotter } = subject;
  const { count, note } = options;
  const prefix = randomBytes(4).toString("hex");
  for (let index = 0; index < count; index += 1) {
    const [key, name] = [`${prefix}-key-${index}`, `${prefix}-name-${index}`];
    const call = { headers };
    await timed(
      (ms) => note("prepare, empty", ms),
      () => peer.snapshots.prepare({ snapshotter, key, parent: "", labels }, call),
    );
    await timed(
      (ms) => note("commit, empty", ms),
      () => peer.snapshots.commit({ snapshotter, name, key, labels }, call),
    );
    await timed(
      (ms) => note("remove, empty", ms),
      () => peer.snapshots.remove({ snapshotter, key: name }, call),
    );
  }
}

/**
 * containerd's benchsuite work (core/snapshots/benchsuite): layers on each other, each with ten files of 1 MiB of which
 * some are new, some overwritten and some removed. Reading and writing goes through the mount that a client would make.
 */
export async function benchsuite(subject: Subject, options: { layers: number; note: Note }): Promise<void> {
  const { peer, snapshotter, target } = subject;
  const { layers, note } = options;
  const binding = loadBinding();
  const prefix = randomBytes(4).toString("hex");
  const names: string[] = [];
  const bytes = randomBytes(FILE_BYTES);
  await mkdir(target, { recursive: true });
  for (let layer = 0; layer < layers; layer += 1) {
    const key = `${prefix}-layer-${layer}`;
    const { mounts } = await timed(
      (ms) => note("prepare on layers", ms),
      () => peer.snapshots.prepare({ snapshotter, key, parent: names.at(-1) ?? "", labels }, { headers }),
    );
    await timed(
      (ms) => note("mounts call and mount", ms),
      async () => {
        await peer.snapshots.mounts({ snapshotter, key }, { headers });
        await mountAll({ binding, mounts, target });
      },
    );
    await timed(
      (ms) => note("write 10 MiB", ms),
      async () => await change(target, layer, bytes),
    );
    await unmountAll({ binding, target });
    const name = `${prefix}-committed-${layer}`;
    await timed(
      (ms) => note("commit 10 MiB", ms),
      () => peer.snapshots.commit({ snapshotter, name, key, labels }, { headers }),
    );
    names.push(name);
  }
  for (const key of names.reverse()) {
    await timed(
      (ms) => note("remove 10 MiB", ms),
      () => peer.snapshots.remove({ snapshotter, key }, { headers }),
    );
  }
}

/** Ten files of a layer: those of even number are of this layer only, the others are overwritten or removed. */
async function change(folder: string, layer: number, bytes: Buffer): Promise<void> {
  for (let index = 0; index < FILES; index += 1) {
    const isOwn = index % 2 === 0;
    const path = join(folder, isOwn ? `layer-${layer}-file-${index}` : `shared-${index}`);
    if (!isOwn && layer % 3 === 2) {
      await rm(path, { force: true });
      continue;
    }
    const file = await open(path, "w");
    await file.writeFile(bytes);
    await file.close();
  }
}

/** A store of many small snapshots that stay. */
export async function fill(subject: Subject, count: number): Promise<void> {
  const { peer, snapshotter } = subject;
  for (let index = 0; index < count; index += 1) {
    const key = `fill-${index}`;
    await peer.snapshots.prepare({ snapshotter, key, parent: "", labels }, { headers });
    await peer.snapshots.commit({ snapshotter, name: `filled-${index}`, key, labels }, { headers });
  }
}

export async function listSnapshots({ peer, snapshotter }: Subject): Promise<number> {
  let count = 0;
  for await (const { info } of peer.snapshots.list({ snapshotter }, { headers })) count += info.length;
  return count;
}
