import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { LayerNumbers } from "../../src/layer/layer-numbers.js";

t.test("LayerNumbers gives no number twice, over restarts and removed layers too", async (t) => {
  const state = mkdtempSync(join(tmpdir(), "lazuli-numbers-"));
  t.teardown(() => rmSync(state, { recursive: true }));
  const given = new Set<number>();
  let count = 0;
  for (const takes of [1, 0, 255, 256, 257, 1, 600]) {
    const numbers = new LayerNumbers(state);
    for (let taken = 0; taken < takes; taken += 1) {
      given.add(numbers.take());
      count += 1;
    }
  }
  t.equal(given.size, count);
  const numbers = new LayerNumbers(state);
  numbers.taken(1_000_000);
  numbers.taken(5);
  t.equal(numbers.take(), 1_000_001);
  t.ok(new LayerNumbers(state).take() > 1_000_001);
  writeFileSync(join(state, "layer-numbers"), "no number");
  t.equal(new LayerNumbers(state).take(), 1);
});
