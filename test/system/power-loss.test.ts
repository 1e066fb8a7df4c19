import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { checkImages, crashFolder, recordWorkload } from "../../testing/crash/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";

const IMAGES = Number(process.env["LAZULI_CRASH_IMAGES"] ?? 2000);
const SEED = Number(process.env["LAZULI_CRASH_SEED"] ?? 1);
/** Images of one recorded workload; each round records another. */
const IMAGES_PER_ROUND = 1000;
const OPERATIONS = 120;
const WRONG_IMAGES = 100;
const AGAIN_IMAGES = 60;

t.setTimeout(0);

await t.test("a loss of power at any moment loses nothing that was promised", async (t) => {
  const rounds = Math.ceil(IMAGES / IMAGES_PER_ROUND);
  const started = process.hrtime.bigint();
  let [images, records, flushes, promises] = [0, 0, 0, 0];
  for (let round = 0; round < rounds; round += 1) {
    await using cleanup = new Cleanup();
    const folder = await crashFolder(cleanup);
    const seed = SEED * 1000 + round;
    const recording = await recordWorkload({
      folder,
      seed,
      task: { kind: "operations", count: OPERATIONS, isSynced: true },
    });
    const count = Math.min(IMAGES_PER_ROUND, IMAGES - round * IMAGES_PER_ROUND);
    const checked = await checkImages(recording, { folder, count, seed });
    images += checked.images;
    records += checked.records;
    flushes += checked.flushes;
    promises += checked.promises;
    for (const { image, problems } of checked.failures) {
      t.fail(`round ${round}, image ${JSON.stringify(image)}:\n${problems.join("\n")}`);
    }
    if (checked.failures.length === 0) continue;
    const kept = await mkdtemp(join(tmpdir(), "lazuli-crash-failed-"));
    for (const file of ["base", "log", "journal"]) await cp(join(folder, file), join(kept, file));
    t.comment(`replay one: node dist/testing/crash/replay-main.js ${kept} ${count} ${seed} <image number>`);
    break;
  }
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  t.comment(
    `power loss: ${images} images, ${(images / seconds).toFixed(1)} a second, of ${records} writes and flushes ` +
      `(${flushes} flushes) and ${promises} promises`,
  );
  const figures = { images, promises, rounds, seed: SEED };
  await recordCounts({ name: "power-loss", what: "Images of a loss of power", figures });
  t.equal(images, IMAGES, "every image was made and checked");
});

await t.test("the rig sees a snapshotter that commits without syncing", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await crashFolder(cleanup);
  const recording = await recordWorkload({
    folder,
    seed: SEED,
    task: { kind: "operations", count: OPERATIONS, isSynced: false },
  });
  const { failures } = await checkImages(recording, { folder, count: WRONG_IMAGES, seed: SEED });
  t.ok(failures.length > 0, "some image lacks what was promised");
  t.match(failures[0]?.problems.join(), /"snapshot"/, "namely the files of a committed snapshot");
});

for (const killedAt of ["content.commit.synced", "content.commit.renamed", "content.commit.durable"]) {
  await t.test(`a put after a kill at ${killedAt} outlives a loss of power`, async (t) => {
    await using cleanup = new Cleanup();
    const folder = await crashFolder(cleanup);
    const task = { kind: "put-again", killedAt } as const;
    const recording = await recordWorkload({ folder, seed: SEED, task });
    const { images, promises, failures } = await checkImages(recording, {
      folder,
      count: AGAIN_IMAGES,
      seed: SEED,
    });
    t.equal(promises, 1, "only the second put was acknowledged");
    t.ok(images > 0, "and its log has moments to try");
    t.same(failures, []);
  });
}
