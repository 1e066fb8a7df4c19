import t from "tap";
import { deferred } from "../../src/async/index.js";
import { BitSet } from "../../src/layer/bit-set.js";
import { RequestSteps } from "../../src/layer/request-steps.js";
import { Transfer } from "../../src/layer/transfer.js";
import { UnitLedger } from "../../src/layer/unit-ledger.js";
import { rawUnits } from "../../testing/layer/fake-plane.js";
import { MemorySource } from "../../testing/layer/memory-source.js";

const UNITS = 3;
const UNIT_BYTES = 4096;

t.test("cut() has nothing to drop when the layer's last unit came and is being stored", async (t) => {
  const { blob, units } = rawUnits(UNITS, UNIT_BYTES);
  const stored = deferred<Uint8Array>();
  const began = deferred<void>();
  const source = new MemorySource(blob);
  const plan = { firstUnit: 0, lastUnit: UNITS - 1, offset: 0, length: blob.length };
  const transfer = new Transfer({
    plan,
    priority: "prefetch",
    layer: 1,
    ledger: new UnitLedger(units, new BitSet(UNITS)),
    ingest: async ({ lastUnit }) => {
      if (lastUnit === UNITS - 1) began.resolve();
      return await stored.promise;
    },
    steps: new RequestSteps({ digest: source.digest, priority: "prefetch", plan }),
    onBytes: () => undefined,
    onOutcomes: () => undefined,
  });
  const ended = transfer.run(source);
  await began.promise;
  t.equal(transfer.cut(), undefined);
  t.equal(transfer.lastUnit, UNITS - 1);
  stored.resolve(new Uint8Array(UNITS));
  await ended;
  t.ok(transfer.isWhole);
});
