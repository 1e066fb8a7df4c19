import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import t, { type Test } from "tap";
import type { Digest } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import type { OpenLayerEngine } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import type { BlobSource } from "../../src/registry/index.js";
import { UnitTable } from "../../src/units/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { Random } from "../../testing/crash/random.js";
import { child, EngineRig, until } from "../../testing/layer/engine-rig.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { type CorruptLayer, corruptLayers } from "./corrupted-layers.js";
import { CorruptingRegistry } from "./corrupting-source.js";

/** The long version has 10,000. */
const POSITIONS = Number(process.env["LAZULI_POSITIONS"] ?? 400);
const SEED = Number(process.env["LAZULI_SEED"] ?? 9);
/** A read of what is wrong wherever it is asked for fails then; what is right comes before, also on a busy machine. */
const DEADLINE_MS = 1500;
/** Reads that got no answer until then never get one: their files count as wrong. */
const STUCK_SECONDS = "120";
/** Of the blob, in one layer: some of its units stay right. */
const POSITIONS_AT_ONCE = 32;
/** Of the data file, which is mended from the registry. */
const DATA_POSITIONS_AT_ONCE = 96;
/** Of the index: each is a try of its own. */
const INDEX_TRIES = 16;
const BODIES = 12;

t.setTimeout(0);

/** Reads all files at once, and prints for each its digest, or the error. */
const readScript = `
import concurrent.futures, hashlib, os, sys
def read(name):
    try:
        with open(os.path.join(sys.argv[1], name), "rb", buffering=0) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return os.strerror(error.errno)
names = [os.path.relpath(os.path.join(folder, name), sys.argv[1]) for folder, _, files in os.walk(sys.argv[1]) for name in files]
with concurrent.futures.ThreadPoolExecutor(48) as pool:
    for name, found in zip(names, pool.map(read, names)):
        print(name, found, sep="\\t")
`;

interface Verdicts {
  right: number;
  refused: number;
  /** Names of files whose bytes were wrong. */
  readonly wrong: string[];
}

/** What readers of a mount got, beside what the files hold. */
async function readAll(mount: string, layer: CorruptLayer): Promise<Verdicts> {
  const { stdout } = await child(
    "timeout",
    "--signal=KILL",
    STUCK_SECONDS,
    "python3",
    "-c",
    readScript,
    mount,
  );
  const found = new Map(stdout.split("\n").map((line) => line.split("\t") as [string, string]));
  const verdicts: Verdicts = { right: 0, refused: 0, wrong: [] };
  for (const { name, content } of layer.files) {
    const seen = found.get(name);
    if (seen === createHash("sha256").update(content).digest("hex")) verdicts.right += 1;
    else if (seen === "Input/output error") verdicts.refused += 1;
    else verdicts.wrong.push(`${name}: ${seen}`);
  }
  return verdicts;
}

type Kind = "blob" | "body" | "index" | "data file";
const tally: Record<Kind, { positions: number; right: number; refused: number }> = {
  blob: { positions: 0, right: 0, refused: 0 },
  body: { positions: 0, right: 0, refused: 0 },
  index: { positions: 0, right: 0, refused: 0 },
  "data file": { positions: 0, right: 0, refused: 0 },
};

function count(t: Test, kind: Kind, positions: number, verdicts: Verdicts): void {
  tally[kind].positions += positions;
  tally[kind].right += verdicts.right;
  tally[kind].refused += verdicts.refused;
  if (verdicts.wrong.length > 0) t.fail(`${kind}: ${verdicts.wrong.join(", ")}`);
}

function damaged(bytes: Buffer, places: readonly number[], random: Random): Buffer {
  const copy = Buffer.from(bytes);
  for (const place of places) copy[place]! ^= 1 << random.below(8);
  return copy;
}

/** Some places, each once, below a limit. */
function placesBelow(limit: number, most: number, random: Random): number[] {
  return [...new Set(Array.from({ length: most }, () => random.below(limit)))];
}

interface Round {
  readonly t: Test;
  readonly rig: EngineRig;
  readonly engine: OpenLayerEngine;
  readonly registry: CorruptingRegistry;
  readonly layer: CorruptLayer;
  readonly random: Random;
}

async function withSource<Result>(
  { rig, registry, layer, engine }: Round,
  options: { readonly bytes?: Buffer; readonly windows?: Buffer | undefined },
  use: (source: BlobSource, digest: Digest) => Promise<Result>,
): Promise<Result> {
  const digest = `sha256:${createHash("sha256").update(layer.blob).digest("hex")}` as Digest;
  const source = await registry.open(options.bytes ?? layer.blob, digest);
  rig.sources.set(digest, source);
  if (layer.windows !== undefined) {
    const name = `sha256:${createHash("sha256").update(layer.windows).digest("hex")}` as Digest;
    rig.sources.set(name, await registry.open(options.windows ?? layer.windows, name));
  }
  try {
    return await use(source, digest);
  } finally {
    if (engine.has(digest)) await engine.remove(digest);
    registry.forget(digest);
    rig.sources.clear();
  }
}

/** The registry has other bytes than the blob should have. */
async function blobRound(round: Round): Promise<void> {
  const { t, engine, layer, random } = round;
  const places = placesBelow(layer.payloadEnd, POSITIONS_AT_ONCE, random);
  const inWindows = layer.windows === undefined ? [] : placesBelow(layer.windows.length, 4, random);
  const windows = layer.windows === undefined ? undefined : damaged(layer.windows, inWindows, random);
  await withSource(round, { bytes: damaged(layer.blob, places, random), windows }, async (source, digest) => {
    await engine.ensure(layer.request(source, undefined), {});
    const verdicts = await readAll(await engine.mountPoint(digest), layer);
    count(t, "blob", places.length + inWindows.length, verdicts);
  });
}

/** Bodies are damaged on their way, some of them, and then no more. */
async function bodyRound(round: Round): Promise<void> {
  const { t, engine, layer, registry } = round;
  await withSource(round, {}, async (source, digest) => {
    await engine.ensure(layer.request(source, undefined), {});
    const mount = await engine.mountPoint(digest);
    const before = registry.positions;
    registry.faultsLeft = BODIES;
    const verdicts = await readAll(mount, layer);
    registry.faultsLeft = 0;
    count(t, "body", registry.positions - before, verdicts);
    const again = await readAll(mount, layer);
    t.equal(again.wrong.length, 0, "nor are bytes wrong that were kept");
  });
}

/** The index has other bytes than its digest says: in the blob, or beside it. */
async function indexRound(round: Round): Promise<void> {
  const { t, engine, layer, random } = round;
  for (const place of placesBelow(
    (layer.index ?? layer.blob.subarray(layer.payloadEnd)).length,
    INDEX_TRIES,
    random,
  )) {
    const index = layer.index === undefined ? undefined : damaged(layer.index, [place], random);
    const bytes = index === undefined ? damaged(layer.blob, [layer.payloadEnd + place], random) : layer.blob;
    await withSource(round, { bytes }, async (source, digest) => {
      try {
        await engine.ensure(layer.request(source, index), {});
      } catch (thrown) {
        if (!(thrown instanceof LazuliError)) throw thrown;
        count(t, "index", 1, { right: 0, refused: 1, wrong: [] });
        return;
      }
      // Padding, or a field that nobody reads: then all is right.
      count(t, "index", 1, await readAll(await engine.mountPoint(digest), layer));
    });
  }
}

/** The disk gives back other bytes than were written, under a layer that is in use. */
async function dataRound(round: Round): Promise<void> {
  const { t, engine, layer, random, rig } = round;
  await withSource(round, {}, async (source, digest) => {
    await engine.ensure(layer.request(source, undefined), {});
    const mount = await engine.mountPoint(digest);
    await until(async () => (await readAll(mount, layer)).right === layer.files.length);
    const paths = layerPaths(rig.root, digest);
    const table = new UnitTable(await readFile(paths.units));
    const places = new Set<number>();
    const file = await open(paths.data, "r+");
    try {
      for (let index = 0; index < DATA_POSITIONS_AT_ONCE; index += 1) {
        const unit = random.below(table.count);
        const place = table.dataOffset(unit) + random.below(table.dataLength(unit));
        if (places.has(place)) continue;
        places.add(place);
        const { buffer } = await file.read(Buffer.alloc(1), 0, 1, place);
        buffer[0]! ^= 1 << random.below(8);
        await file.write(buffer, 0, 1, place);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await dropCaches();
    count(t, "data file", places.size, await readAll(mount, layer));
  });
}

const rounds = { blob: blobRound, body: bodyRound, index: indexRound, "data file": dataRound };

t.test(`readers of ${POSITIONS} corrupted positions get the right bytes or an error`, async (t) => {
  const random = new Random(SEED);
  await using registry = await CorruptingRegistry.start(random);
  await using native = await EngineRig.make();
  await using tree = await EngineRig.make();
  const engines = await Promise.all([
    native.open({ mount: "erofs", demandDeadlineMs: DEADLINE_MS }),
    tree.open({ mount: "fuse-tree", demandDeadlineMs: DEADLINE_MS }),
  ]);
  for (let number = 0; sum("positions") < POSITIONS; number += 1) {
    for (const [place, makeLayer] of corruptLayers.entries()) {
      for (const [kind, run] of Object.entries(rounds)) {
        const layer = await makeLayer(`corrupt/${SEED}/${number}/${kind}`);
        // Each format in turn on each kind of mount.
        const side = (number + place) % 2;
        const [rig, engine] = [[native, tree][side]!, engines[side]!];
        try {
          await run({ t, rig, engine, registry, layer, random });
        } catch (thrown) {
          t.fail(`${kind} of ${layer.format}: ${(thrown as Error).stack}`);
        }
      }
    }
  }
  const positions = sum("positions");
  t.ok(positions >= POSITIONS, `${positions} positions, seed ${SEED}`);
  for (const [kind, { positions: some, right, refused }] of Object.entries(tally)) {
    t.ok(some > 0 && right + refused > 0, `${kind}: ${some} positions, ${right} right, ${refused} refused`);
  }
  t.ok(tally.blob.refused > 0 && tally.index.refused > 0, "what is wrong everywhere is refused");
  t.ok(tally.body.right > 0, "what is wrong on the way is asked for again");
  await recordCounts({
    name: "corrupted-positions",
    what: "Corrupted positions; what was read of the layers",
    figures: {
      positions,
      "of blobs": tally.blob.positions,
      "of bodies": tally.body.positions,
      "of indexes": tally.index.positions,
      "of data files": tally["data file"].positions,
      "files right": sum("right"),
      "files or layers refused": sum("refused"),
      "wrong bytes": 0,
    },
  });
});

function sum(figure: "positions" | "right" | "refused"): number {
  return Object.values(tally).reduce((total, one) => total + one[figure], 0);
}
