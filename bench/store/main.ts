/**
 * Question: how fast are the content store, the metadata and the collection of garbage on the wire, against Debian's
 * containerd with the same client in the same run?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/store/main.js [--rounds 3] [--objects 100000] [--quick] [--json FILE] [--html FILE]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Cleanup } from "../../src/bench/tools/index.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { Collected, emit, type Measurement } from "../collected.js";
import { type Peer, peakMiB, peers, resetPeak } from "../peer.js";
import { blobs, collect, createImages, dropLease, ingest, listAll, takeLease } from "./work.js";

const MIB = 1024 * 1024;
const SMALL_BYTES = 4096;
const TINY_BYTES = 64;
const POPULATE_WRITERS = 16;

interface Sizes {
  readonly rounds: number;
  readonly objects: number;
  readonly largeBytes: number;
  readonly smallBlobs: number;
  readonly images: number;
}

type Add = (measurement: Omit<Measurement, "contestant">) => void;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      objects: { type: "string", default: "100000" },
      quick: { type: "boolean" },
      json: { type: "string" },
      html: { type: "string" },
    },
  });
  const counts = { rounds: Number(values.rounds), objects: Number(values.objects) };
  const sizes: Sizes =
    values.quick === true
      ? { ...counts, largeBytes: MIB, smallBlobs: 20, images: 20 }
      : { ...counts, largeBytes: 100 * MIB, smallBlobs: 500, images: 500 };
  const collected = new Collected(Object.keys(peers));
  for (const contestant of Object.keys(peers)) {
    await measure(contestant, sizes, (measurement) => {
      collected.add({ contestant, ...measurement });
      const { subject, measure, value, unit } = measurement;
      console.error(`${contestant}: ${subject}: ${measure}: ${value.toPrecision(4)} ${unit}`);
    });
  }
  const report = await collected.report({
    question:
      "How fast are the content store, the metadata and the collection of garbage, asked over the socket?",
    conditions: [
      ["rounds", String(sizes.rounds)],
      ["objects", String(sizes.objects)],
      ["large blobs", `${sizes.largeBytes / MIB} MiB`],
    ],
    notes: ["Contestants were measured one after the other, not in turns: drift of the machine counts."],
  });
  await emit(report, values);
}

async function measure(name: string, sizes: Sizes, add: Add): Promise<void> {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-store-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const peer = await peers[name]!(folder);
  cleanup.add(async () => await peer[Symbol.asyncDispose]());
  await takeLease(peer, "keep");
  for (let round = 0; round < sizes.rounds; round += 1) await smallRound(peer, { ...sizes, round, add });
  await manyObjects(peer, sizes, add);
}

async function smallRound(
  peer: Peer,
  { round, add, smallBlobs, largeBytes, images }: Sizes & { readonly round: number; readonly add: Add },
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
async function manyObjects(peer: Peer, { objects }: Sizes, add: Add): Promise<void> {
  const subject = `${objects} blobs of 64 bytes`;
  const addTime = (measure: string, seconds: number): void =>
    add({ subject, measure, unit: "ms", value: seconds * 1000 });
  const addPeak = async (measure: string): Promise<void> =>
    add({ subject, measure, unit: "bytes", value: (await peakMiB(peer.service.pid)) * MIB });
  await takeLease(peer, "many");
  const source = blobs(objects, TINY_BYTES);
  const filling = await ingest(peer, { source, writers: POPULATE_WRITERS, lease: "many" });
  add({ subject, measure: `ingest, ${POPULATE_WRITERS} at once`, unit: "1/s", value: objects / filling });
  for (let round = 0; round < 3; round += 1) addTime("list", (await listAll(peer)).seconds);
  await resetPeak(peer.service.pid);
  for (let round = 0; round < 3; round += 1) addTime("collect, all kept", await collect(peer));
  await addPeak("collect, all kept: peak memory");
  await resetPeak(peer.service.pid);
  addTime("collect, all removed", await dropLease(peer, "many"));
  await addPeak("collect, all removed: peak memory");
}

await main();
