import { mkdtemp, readFile, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { type LocalStore, openLocalStore } from "../../src/content/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { LayerRequest, OpenLayerEngine } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { openMetadata } from "../../src/metadata/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { EngineRig, expectedHashes, hashesBelow, requestOf } from "../../testing/layer/engine-rig.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";
import { companies, type Damage, damages } from "./damage-cases.js";

const binding = loadBinding();
const now = (): bigint => binding.realtimeNanoseconds();
const blob = Buffer.from("a blob of several bytes ".repeat(500));
const digest = sha256(blob);
/** LMDB opens its file itself, and waits for a FIFO. */
const databaseDamages = damages.filter(({ name }) => name !== "is a FIFO");
/** Beyond it something hangs. */
const PATIENCE_MS = 30_000;
const counted: Record<string, number> = {};

t.setTimeout(0);

const outside = sha256(await readFile("/etc/passwd"));

async function inFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-damage-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What work ends with: a word of it, a code, or that it hangs. */
async function endOf(work: () => Promise<string>): Promise<string> {
  const hangs = new Promise<string>((resolve) => setTimeout(resolve, PATIENCE_MS, "hangs").unref());
  const done = work().catch((thrown: unknown) => {
    if (thrown instanceof LazuliError) return thrown.code;
    throw thrown;
  });
  return await Promise.race([done, hangs]);
}

const storeIn = async (folder: string): Promise<LocalStore> =>
  await openLocalStore({ root: folder, now, fileSteps: binding.fileSteps });

async function put(store: LocalStore): Promise<void> {
  const writer = await store.writer({ ref: "r", total: blob.length, expected: digest });
  await writer.write(Buffer.from(blob));
  await writer.commit({ size: blob.length, expected: digest, labels: {} });
}

async function readIt(store: LocalStore): Promise<string> {
  await using reader = await store.open(digest);
  return blob.equals(await reader.read(0, reader.size)) ? "right" : "wrong bytes";
}

t.test("a blob that is damaged at rest is never read, and can be had again", async (t) => {
  for (const { name, does } of damages) {
    await inFolder(async (folder) => {
      const store = await storeIn(folder);
      await put(store);
      await store.close();
      await does(join(folder, "blobs", "sha256", digest.slice("sha256:".length)));
      const again = await storeIn(folder);
      const seen = await endOf(() => readIt(again));
      t.ok(["DATA_LOSS", "NOT_FOUND"].includes(seen), `D-blob a blob that ${name}: ${seen}`);
      await again.delete(digest).catch(() => undefined); // It may be gone already.
      const mended = await endOf(async () => {
        await put(again);
        return await readIt(again);
      });
      t.equal(mended, "right", `D-blob a blob that ${name} is written anew`);
      await again.close();
    });
  }
  counted["D-blob"] = damages.length;
});

t.test("a store goes on beside what strangers left among its ingests", async (t) => {
  for (const { name, does } of companies) {
    await inFolder(async (folder) => {
      const store = await storeIn(folder);
      await store.close();
      await does(join(folder, "ingest"));
      const seen = await endOf(async () => {
        const again = await storeIn(folder);
        await again.statuses([]);
        await put(again);
        const word = await readIt(again);
        await again.close();
        return word;
      });
      t.equal(seen, "right", `D-ingest ${name}`);
    });
  }
  counted["D-ingest"] = companies.length;
});

t.test("a database that is damaged in its first pages is refused, or opened", async (t) => {
  // What is changed inside of later pages is LMDB's to notice; fsck tells of it.
  const first: readonly string[] = ["is gone", "is empty", "has another last byte"];
  for (const { name, does } of databaseDamages) {
    await inFolder(async (folder) => {
      const directory = join(folder, "metadata");
      await (await openMetadata({ directory })).close();
      await does(join(directory, "metadata.lmdb"));
      const seen = await endOf(async () => {
        const metadata = await openMetadata({ directory });
        await metadata.close();
        return "opened";
      }).catch((error: NodeJS.ErrnoException) => error.code ?? String(error));
      t.not(seen, "hangs", `D-db a database that ${name}: ${seen}`);
      if (first.includes(name)) t.equal(seen, "opened", `D-db a database that ${name} opens`);
    });
  }
  counted["D-db"] = databaseDamages.length;
});

const layer = sampleLayer(sampleFiles("damage", [90_000, 20_000, 70_000]));
/** Below the engine's root, but in no layer's folder. */
const ELSEWHERE = "elsewhere";
const elsewhereText = "not a layer's";
const linkElsewhere: Damage = {
  name: "is a link elsewhere",
  does: async (path) => {
    await unlink(path);
    await writeFile(join(dirname(path), "../../..", ELSEWHERE), elsewhereText);
    await symlink(join("../../..", ELSEWHERE), path);
  },
};
/** An engine is opened twice for each. */
const partDamages = [
  ...damages.filter(({ name }) =>
    [
      "is gone",
      "is cut in half",
      "has another byte in the middle",
      "is zeros",
      "is a folder",
      "is a FIFO",
    ].includes(name),
  ),
  linkElsewhere,
];
const parts = ["record", "units", "meta", "data", "bitmap"] as const;

/** As the snapshotter has it: a layer that the engine does not have, or leaves out, is asked for again. */
async function mountedAgain(engine: OpenLayerEngine, request: LayerRequest): Promise<string> {
  if (!engine.has(request.digest)) await engine.ensure(request, {});
  return await engine.mountPoint(request.digest).catch(async (thrown: unknown) => {
    if (engine.has(request.digest)) throw thrown;
    await engine.ensure(request, {});
    return await engine.mountPoint(request.digest);
  });
}

/** What a node with a damaged layer reads, once the layer was asked for again. */
async function layerAfter(part: (typeof parts)[number], { does }: Damage): Promise<string> {
  await using rig = await EngineRig.make();
  const { request, source } = requestOf(layer);
  rig.sources.set(request.digest, source);
  const first = await rig.open();
  await first.ensure(request, {});
  await hashesBelow(await first.mountPoint(request.digest));
  await first.close();
  await does(layerPaths(rig.root, request.digest)[part]);
  const engine = await rig.open();
  const found = await hashesBelow(await mountedAgain(engine, request));
  const wanted = expectedHashes(layer.files);
  let missing = 0;
  for (const [name, hash] of wanted) {
    if (!found.has(name)) missing += 1;
    else if (found.get(name) !== hash) return "wrong bytes";
  }
  const elsewhere = await readFile(join(rig.root, ELSEWHERE), "utf8").catch(() => elsewhereText);
  if (elsewhere !== elsewhereText) return "wrote through a link";
  return missing === 0 ? "right" : "EIO";
}

for (const part of parts) {
  t.test(`a layer whose ${part} is damaged at rest is here when asked for again`, async (t) => {
    for (const damage of partDamages) {
      const seen = await endOf(() => layerAfter(part, damage)).catch(String);
      t.equal(seen, "right", `D-layer ${part} ${damage.name}`);
    }
    counted["D-layer"] = (counted["D-layer"] ?? 0) + partDamages.length;
  });
}

t.test("nothing outside was touched, and the cases are counted", async (t) => {
  t.equal(sha256(await readFile("/etc/passwd")), outside, "what links lead to");
  const cases = Object.values(counted).reduce((sum, one) => sum + one, 0);
  await recordCounts({
    name: "hostile-damage",
    what: "Own files of the node that are damaged at rest, by kind",
    figures: { cases, ...counted },
  });
});
