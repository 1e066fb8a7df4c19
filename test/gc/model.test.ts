import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { openMetadata } from "../../src/metadata/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { Random } from "../../testing/crash/random.js";
import { ModelRun } from "./model-run.js";

const operations = Number(process.env.LAZULI_OPERATIONS ?? 10_000);
const seed = Number(process.env.LAZULI_SEED ?? Date.now() % 1_000_000);
const ROUND_OPERATIONS = 100;

t.test(
  "collect() removes exactly what a plain model says, whatever writers and kills come between",
  async (t) => {
    t.comment(`again with LAZULI_SEED=${seed} LAZULI_OPERATIONS=${operations}`);
    const folder = await mkdtemp(join(tmpdir(), "lazuli-gc-model-"));
    t.teardown(async () => await rm(folder, { recursive: true, force: true }));
    const metadata = await openMetadata({ directory: folder });
    t.teardown(async () => await metadata.close());
    const random = new Random(seed);
    const run = new ModelRun({ t, metadata, random });
    for (let done = 0; done < operations && run.faults.length === 0; done += ROUND_OPERATIONS) {
      await run.operate(ROUND_OPERATIONS / 2);
      if (random.chance(20)) await run.collectKilled();
      if (random.chance(60)) await run.collectBeside(ROUND_OPERATIONS / 2);
      else await run.operate(ROUND_OPERATIONS / 2);
      if (random.chance(20)) await run.explainSome();
      await run.collectAndCompare();
    }
    t.same(run.faults, []);
    const figures = { operations, removed: run.removed, seed };
    await recordCounts({ name: "gc-model", what: "Operations of the collection beside a model", figures });
    t.ok(run.removed > operations / 50, `${run.removed} things were removed`);
  },
);
