import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import type { CompiledFine } from "../../src/fine/index.js";
import { encodeUnitTable } from "../../src/units/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { verdictOf } from "./estargz-case.js";
import { compileChanged, type FineSample, gzipped, plain } from "./fine-case.js";
import { fineCases } from "./fine-cases.js";
import { bounded } from "./growth.js";

t.setTimeout(0);

t.test("compileFine(), unpackWindow() and parseFineManifest() refuse each hostile index", async (t) => {
  for (const hostile of fineCases) {
    const { code, reason } = hostile;
    t.same(await bounded(t, hostile.name, () => verdictOf(hostile)), { code, reason }, hostile.name);
  }
  t.equal(
    new Set(fineCases.map(({ name }) => name)).size,
    fineCases.length,
    "each case has a name of its own",
  );
  t.ok(fineCases.length >= 75, `${fineCases.length} named cases`);
  await recordCounts({
    name: "hostile-fine",
    what: "Hostile indexes of our own",
    figures: { cases: fineCases.length },
  });
});

/** Undefined where it is refused by a typed error; what else is thrown is a finding. */
async function compiledOrRefused(
  change: (table: Buffer) => unknown,
  sample: FineSample,
): Promise<CompiledFine | undefined> {
  try {
    return await compileChanged(change, sample);
  } catch (error) {
    if (error instanceof LazuliError) return undefined;
    throw error;
  }
}

t.test(
  "compileFine() takes a table with any byte changed as refused, or as one inside its layer",
  async (t) => {
    let accepted = 0;
    for (const sample of [gzipped, plain]) {
      const { table, parsed, blob } = sample;
      const head = table.length - parsed.packedTree.length - parsed.leaves.length;
      for (let at = 0; at < head; at += 1) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const compiled = await compiledOrRefused((bytes) => {
            bytes[at]! ^= flip;
          }, sample);
          if (compiled === undefined) continue;
          accepted += 1;
          const { units, dataSize } = compiled;
          // It asserts that all units lie inside and behind each other.
          const made = encodeUnitTable(units, {
            dataSize,
            blobSize: blob.length,
            blockSize: 512,
          });
          if (made.count !== units.length) t.fail(`byte ${at} ^ ${flip} makes other units`);
        }
      }
    }
    t.ok(accepted > 0, `${accepted} changes only change digests and places inside`);
  },
);

t.test("compileFine() refuses a table that is cut off anywhere", async (t) => {
  for (let length = 0; length < gzipped.table.length; length += 7) {
    const compiled = await compiledOrRefused((table) => table.subarray(0, length), gzipped);
    if (compiled !== undefined) t.fail(`cut at ${length} it is taken`);
  }
  t.pass("all cuts tried");
});
