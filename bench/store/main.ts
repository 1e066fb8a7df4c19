/**
 * Question: how fast are the content store, the metadata and the collection of garbage on the wire, against Debian's
 * containerd with the same client in the same run?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/store/main.js [--rounds 3] [--objects 100000] [--json]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineFacts } from "../../src/bench/machine.js";
import { type Spread, spreadOf } from "../../src/bench/statistics.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { type Peer, peakMiB, peers, resetPeak } from "../peer.js";
import { blobs, collect, createImages, dropLease, ingest, listAll, takeLease } from "./work.js";

const MIB = 1024 * 1024;
const SMALL_BYTES = 4096;
const LARGE_BYTES = 100 * MIB;
const SMALL_BLOBS = 500;
const TINY_BYTES = 64;
const IMAGES = 500;
const POPULATE_WRITERS = 16;

interface Figure {
  readonly unit: string;
  readonly isMoreBetter: boolean;
  readonly values: number[];
}
type Figures = Map<string, Figure>;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      objects: { type: "string", default: "100000" },
      json: { type: "boolean" },
    },
  });
  const results: Record<string, Figures> = {};
  for (const name of Object.keys(peers)) {
    results[name] = await measure(name, Number(values.rounds), Number(values.objects));
  }
  const facts = await machineFacts();
  if (values.json === true) console.log(JSON.stringify({ facts, results: plain(results) }, null, 2));
  else print(facts, results);
}

async function measure(name: string, rounds: number, objects: number): Promise<Figures> {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-store-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const peer = await peers[name]!(folder);
  cleanup.add(async () => await peer[Symbol.asyncDispose]());
  const figures: Figures = new Map();
  const add = (title: string, unit: string, value: number): void => {
    const figure = figures.get(title) ?? { unit, isMoreBetter: unit.endsWith("/s"), values: [] };
    figure.values.push(value);
    figures.set(title, figure);
    console.error(`${name}: ${title}: ${value.toPrecision(4)} ${unit}`);
  };
  await takeLease(peer, "keep");
  for (let round = 0; round < rounds; round += 1) await smallRound(peer, round, add);
  await manyObjects(peer, objects, add);
  return figures;
}

type Add = (title: string, unit: string, value: number) => void;

async function smallRound(peer: Peer, round: number, add: Add): Promise<void> {
  for (const writers of [1, 8]) {
    const small = await ingest(peer, { source: blobs(SMALL_BLOBS, SMALL_BYTES), writers, lease: "keep" });
    add(`ingest 4 KiB blobs, ${writers} writers`, "MiB/s", (SMALL_BLOBS * SMALL_BYTES) / MIB / small);
    const large = await ingest(peer, { source: blobs(writers, LARGE_BYTES), writers, lease: "keep" });
    add(`ingest 100 MiB blobs, ${writers} writers`, "MiB/s", (writers * LARGE_BYTES) / MIB / large);
    const images = await createImages(peer, {
      prefix: `r${round}w${writers}`,
      count: IMAGES,
      clients: writers,
    });
    add(`create images, ${writers} clients`, "images/s", IMAGES / images);
  }
}

/** Lists and collects a store of many tiny blobs: first all of them held by a lease, then none. */
async function manyObjects(peer: Peer, objects: number, add: Add): Promise<void> {
  await takeLease(peer, "many");
  const filling = await ingest(peer, {
    source: blobs(objects, TINY_BYTES),
    writers: POPULATE_WRITERS,
    lease: "many",
  });
  add(`ingest ${objects} blobs of 64 bytes, ${POPULATE_WRITERS} writers`, "blobs/s", objects / filling);
  for (let round = 0; round < 3; round += 1) {
    add(`list ${objects} blobs`, "s", (await listAll(peer)).seconds);
  }
  await resetPeak(peer.service.pid);
  for (let round = 0; round < 3; round += 1)
    add(`collect ${objects} blobs, all kept`, "s", await collect(peer));
  add(`collect ${objects} blobs, all kept: peak memory`, "MiB", await peakMiB(peer.service.pid));
  await resetPeak(peer.service.pid);
  add(`collect ${objects} blobs, all removed`, "s", await dropLease(peer, "many"));
  add(`collect ${objects} blobs, all removed: peak memory`, "MiB", await peakMiB(peer.service.pid));
}

function plain(results: Record<string, Figures>): Record<string, Record<string, Spread>> {
  return Object.fromEntries(
    Object.entries(results).map(([name, figures]) => [
      name,
      Object.fromEntries([...figures].map(([title, { values }]) => [title, spreadOf(values)])),
    ]),
  );
}

function print(facts: Record<string, string>, results: Record<string, Figures>): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)}${value}`);
  console.log("\nmedian (least to greatest); the ratio is lazuli's advantage, above 1 it is ahead\n");
  for (const [title, figure] of results.containerd!) {
    const own = results.lazuli!.get(title)!;
    const [theirs, ours] = [spreadOf(figure.values), spreadOf(own.values)];
    const ratio = figure.isMoreBetter ? ours.median / theirs.median : theirs.median / ours.median;
    console.log(title);
    console.log(
      `  containerd ${shown(theirs)} ${figure.unit}   lazuli ${shown(ours)} ${figure.unit}   ${ratio.toFixed(2)} x`,
    );
  }
}

function shown(spread: Spread): string {
  const short = (value: number): string => value.toPrecision(3);
  return `${short(spread.median)} (${short(spread.least)} to ${short(spread.greatest)})`;
}

await main();
