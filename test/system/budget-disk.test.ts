import { createHash } from "node:crypto";
import { mkdir, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import type { LayerRequest, OpenLayerEngine } from "../../src/layer/index.js";
import { buildEstargz } from "../../testing/estargz-builder.js";
import { EngineRig, hashesBelow, requestOf } from "../../testing/layer/engine-rig.js";
import type { MemorySource } from "../../testing/layer/memory-source.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { ext4Disk } from "../../testing/rig/ext4-disk.js";

const MIB = 2 ** 20;
const DISK_BYTES = 64 * MIB;
const UNIT_BYTES = MIB / 2;
const LAYER_BYTES = 25 * MIB;
const FILE_BYTES = 5 * MIB;
const READERS = 6;
/** 200 MiB, or what the long version asks for. */
const LAYERS = Math.ceil(Number(process.env["LAZULI_BUDGET_MIB"] ?? 200) / (LAYER_BYTES / MIB));
/** Each reader waits for disks and for its turn on a busy machine. */
t.setTimeout(Number(process.env["TAP_TIMEOUT"] ?? 300) * 1000);

const BUDGET = { limit: { percent: 75 }, highWater: 0.95, lowWater: 0.85, pinned: [] } as const;

interface MadeLayer {
  readonly request: LayerRequest;
  readonly source: MemorySource;
  readonly hashes: ReadonlyMap<string, string>;
}

/** Blocks that differ from each other and still compress well: little blob, much data. */
function makeLayer(layer: number): MadeLayer {
  const files = Array.from({ length: LAYER_BYTES / FILE_BYTES }, (_, index) => {
    const content = Buffer.alloc(FILE_BYTES, `layer ${layer} file ${index} `);
    for (let at = 0; at < FILE_BYTES; at += 4096) content.writeUInt32LE(at + layer, at);
    return { name: `file-${index}`, type: "reg" as const, content };
  });
  const { blob, tocDigest, tocBlob } = buildEstargz(files, { chunkSize: UNIT_BYTES });
  const { request, source } = requestOf({ blob, tocDigest, tocBlob, files: [], landmark: undefined });
  const hashes = new Map(
    files.map(({ name, content }) => [name, createHash("sha256").update(content).digest("hex")]),
  );
  return { request, source, hashes };
}

/** Bytes of a disk that are used, all at one moment. */
async function usedBytes(disk: string): Promise<number> {
  const { blocks, bfree, bsize } = await statfs(disk);
  return (blocks - bfree) * bsize;
}

interface Outcome {
  readonly right: number;
  readonly wrong: number;
  readonly failed: number;
}

/** Readers that checksum all files of all layers side by side, each from another layer on. */
async function readAll(engine: OpenLayerEngine, layers: readonly MadeLayer[]): Promise<Outcome> {
  const sum = { right: 0, wrong: 0, failed: 0 };
  await Promise.all(
    Array.from({ length: READERS }, async (_, reader) => {
      for (let step = 0; step < layers.length; step += 1) {
        const layer = layers[(step + reader * 2) % layers.length]!;
        const found = await hashesBelow(await engine.mountPoint(layer.request.digest));
        for (const [name, hash] of layer.hashes) {
          const seen = found.get(name);
          if (seen === undefined) sum.failed += 1;
          else if (seen === hash) sum.right += 1;
          else sum.wrong += 1;
        }
      }
    }),
  );
  return sum;
}

t.test("a budget far below the working set is obeyed, and everything is right", async (t) => {
  const disk = await ext4Disk(t, DISK_BYTES);
  await using rig = await EngineRig.make();
  const root = join(disk, "root");
  await mkdir(root);
  const emptyBytes = await usedBytes(disk);
  const options = { root, budget: BUDGET, backgroundFill: true, readaheadMaxBytes: MIB, fuseThreads: 4 };
  const engine = await rig.open(options);
  const layers = Array.from({ length: LAYERS }, (_, index) => makeLayer(index));
  for (const { request } of layers) await engine.ensure(request, {});
  const { limitBytes } = engine.budgets.space;
  t.ok(limitBytes < DISK_BYTES && limitBytes * 3 < LAYERS * LAYER_BYTES, "the working set is much larger");

  let mostBytes = 0;
  let isOver = false;
  const sampled = (async () => {
    while (!isOver) {
      mostBytes = Math.max(mostBytes, (await usedBytes(disk)) - emptyBytes);
      await sleep(5);
    }
  })();
  const files = LAYERS * (LAYER_BYTES / FILE_BYTES) * READERS;
  t.same(await readAll(engine, layers), { right: files, wrong: 0, failed: 0 });
  isOver = true;
  await sampled;

  const { space } = engine.budgets;
  t.ok(space.evictedBytes > LAYERS * LAYER_BYTES - limitBytes, "units were given up");
  t.ok(mostBytes <= limitBytes + READERS * UNIT_BYTES, `at most ${mostBytes} of ${limitBytes} bytes`);
  const fetched = layers.reduce((sum, { source }) => sum + source.fetchedBytes, 0);
  t.comment(
    `${LAYERS * LAYER_BYTES} bytes read ${READERS} times under ${limitBytes}: most ${mostBytes}, given up ${space.evictedBytes} in ${space.evictionRounds} rounds, overdrafts ${space.overdrafts}, fetched ${fetched}`,
  );
  await engine.close();

  // What was given up is known to be missing, and what is noted is there.
  const again = await rig.open({ ...options, backgroundFill: false, demandDeadlineMs: 300 });
  const { plane } = again;
  for (const status of again.list()) {
    const presence = plane.presence(status.number);
    const outcomes = await plane.verify(status.number, 0, status.units - 1);
    const lies = outcomes.filter(
      (outcome, unit) => outcome !== 1 && ((presence[unit >>> 3] ?? 0) & (1 << (unit & 7))) !== 0,
    );
    t.equal(lies.length, 0);
  }
});

t.test("a disk that others fill costs some reads and no restart", async (t) => {
  const disk = await ext4Disk(t, DISK_BYTES);
  await using rig = await EngineRig.make();
  const root = join(disk, "root");
  await mkdir(root);
  const engine = await rig.open({ root, budget: BUDGET, readaheadMaxBytes: MIB, fuseThreads: 4 });
  const layers = [makeLayer(100), makeLayer(101), makeLayer(102)];
  for (const { request } of layers) await engine.ensure(request, {});
  t.match(await readAll(engine, layers.slice(0, 1)), { wrong: 0, failed: 0 });

  // Takes what is free, and what is given up, as soon as it is.
  let isOver = false;
  const filled = (async () => {
    for (let piece = 0; !isOver; piece += 1) {
      const { bavail, bsize } = await statfs(disk);
      const bytes = Math.max(4096, Math.min(bavail * bsize, 4 * MIB));
      await writeFile(join(disk, `filler-${piece}`), Buffer.alloc(bytes)).catch(() => undefined);
      await sleep(5);
    }
  })();
  await dropCaches();
  const during = await readAll(engine, layers);
  t.equal(during.wrong, 0, "never a wrong byte");
  isOver = true;
  await filled;
  t.comment(`while the disk was full: ${JSON.stringify(during)}`);

  for (const name of await readdir(disk)) if (name.startsWith("filler-")) await rm(join(disk, name));
  await dropCaches();
  t.same(await readAll(engine, layers), { right: READERS * 15, wrong: 0, failed: 0 });
});
