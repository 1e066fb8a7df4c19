import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Cleanup, unmountBelow } from "../tools/index.js";
import type { Measurement } from "./collected.js";
import { blobs, collect, createImages, dropLease, ingest, listContent, takeLease } from "./content-work.js";
import { type Peer, type PeerName, peakMiB, peers, resetPeak } from "./peer.js";

const MIB = 1024 * 1024;
const SMALL_BYTES = 4096;
const TINY_BYTES = 64;
const POPULATE_WRITERS = 16;

export interface ContentSizes {
  readonly rounds: number;
  readonly objects: number;
  readonly largeBytes: number;
  readonly smallBlobs: number;
  readonly images: number;
}

export type Add = (measurement: Omit<Measurement, "contestant">) => void;

/** Ingest, records and collections of one of the daemons, alone on the machine. */
export async function measureContent(
  name: PeerName,
  options: {
    readonly folder: string;
    readonly program: readonly string[];
    readonly sizes: ContentSizes;
    readonly add: Add;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { program, sizes, add, signal } = options;
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(options.folder, "lazuli-bench-store-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const peer = await peers[name]({ folder, program });
  cleanup.add(async () => await peer[Symbol.asyncDispose]());
  await takeLease(peer, "keep");
  for (let round = 0; round < sizes.rounds; round += 1) {
    signal.throwIfAborted();
    await smallRound(peer, { ...sizes, round, add });
  }
  signal.throwIfAborted();
  await manyObjects(peer, sizes, add);
}

async function smallRound(
  peer: Peer,
  {
    round,
    add,
    smallBlobs,
    largeBytes,
    images,
  }: ContentSizes & { readonly round: number; readonly add: Add },
): Promise<void> {
  for (const writers of [1, 8]) {
    const subject = `${writers} at once`;
    const small = await ingest(peer, { source: blobs(smallBlobs, SMALL_BYTES), writers, lease: "keep" });
    const smallRate = (smallBlobs * SMALL_BYTES) / MIB / small;
    add({ subject, measure: "ingest small blobs", unit: "MiB/s", value: smallRate });
    const large = await ingest(peer, { source: blobs(writers, largeBytes), writers, lease: "keep" });
    const largeRate = (writers * largeBytes) / MIB / large;
    add({ subject, measure: "ingest large blobs", unit: "MiB/s", value: largeRate });
    const prefix = `r${round}w${writers}`;
    const created = await createImages(peer, { prefix, count: images, clients: writers });
    add({ subject, measure: "create images", unit: "1/s", value: images / created });
  }
}

/** Lists and collects a store of many tiny blobs: first all of them held by a lease, then none. */
async function manyObjects(peer: Peer, { objects }: ContentSizes, add: Add): Promise<void> {
  const subject = `${objects} blobs of 64 bytes`;
  const addTime = (measure: string, seconds: number): void =>
    add({ subject, measure, unit: "ms", value: seconds * 1000 });
  const addPeak = async (measure: string): Promise<void> =>
    add({ subject, measure, unit: "bytes", value: (await peakMiB(peer.service.pid)) * MIB });
  await takeLease(peer, "many");
  const source = blobs(objects, TINY_BYTES);
  const filling = await ingest(peer, { source, writers: POPULATE_WRITERS, lease: "many" });
  add({ subject, measure: `ingest, ${POPULATE_WRITERS} at once`, unit: "1/s", value: objects / filling });
  for (let round = 0; round < 3; round += 1) addTime("list", (await listContent(peer)).seconds);
  await resetPeak(peer.service.pid);
  for (let round = 0; round < 3; round += 1) addTime("collect, all kept", await collect(peer));
  await addPeak("collect, all kept: peak memory");
  await resetPeak(peer.service.pid);
  addTime("collect, all removed", await dropLease(peer, "many"));
  await addPeak("collect, all removed: peak memory");
}
