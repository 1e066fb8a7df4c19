import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import type { CompiledZtoc } from "../../src/soci/index.js";
import { walkTree } from "../../src/tree/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { type HostileCase, verdictOf } from "./estargz-case.js";
import { bounded } from "./growth.js";
import { compile, layer, Places, plainLayer } from "./soci-case.js";
import { entryCases } from "./soci-entry-cases.js";
import { flatbufferCases } from "./soci-flatbuffer-cases.js";
import { zinfoCases } from "./soci-zinfo-cases.js";

t.setTimeout(0);

const sets: Readonly<Record<string, { cases: readonly HostileCase[]; least: number }>> = {
  "compileZtoc() refuses each hostile flatbuffer": { cases: flatbufferCases, least: 40 },
  "compileZtoc() refuses hostile checkpoints and spans": { cases: zinfoCases, least: 70 },
  "compileZtoc() refuses hostile entries": { cases: entryCases, least: 60 },
};

t.test("the cases are counted", async (t) => {
  const figures = {
    cases: flatbufferCases.length + zinfoCases.length + entryCases.length,
    flatbuffers: flatbufferCases.length,
    checkpoints: zinfoCases.length,
    entries: entryCases.length,
  };
  t.ok(figures.cases > 0);
  await recordCounts({ name: "hostile-soci", what: "Hostile zTOCs", figures });
});

for (const [name, { cases, least }] of Object.entries(sets)) {
  t.test(name, async (t) => {
    for (const hostile of cases) {
      const { code, reason } = hostile;
      t.same(await bounded(t, hostile.name, () => verdictOf(hostile)), { code, reason }, hostile.name);
    }
    const names = new Set(cases.map((hostile) => hostile.name));
    t.equal(names.size, cases.length, "each case has a name of its own");
    t.ok(cases.length >= least, `${cases.length} named cases`);
    t.comment(`${cases.length} named cases`);
  });
}

/** Undefined where it is refused by a typed error; what else is thrown is a finding. */
function compiledOrRefused(ztoc: Buffer, blobSize: number): CompiledZtoc | undefined {
  try {
    return compile(ztoc, blobSize);
  } catch (error) {
    if (error instanceof LazuliError) return undefined;
    throw error;
  }
}

/** Whether all that an accepted zTOC says lies inside the layer and its data file. */
function isInside(compiled: CompiledZtoc, blobSize: number): boolean {
  const { units, windows, dataSize, root } = compiled;
  let end = 0;
  for (const unit of units) {
    if (unit.dataOffset !== end || unit.dataLength < 1 || unit.blobLength < 1) return false;
    if (unit.blobOffset < 0 || unit.blobOffset + unit.blobLength > blobSize) return false;
    end = unit.dataOffset + unit.dataLength;
  }
  if (end !== dataSize || (units[0]?.codec === "deflateSpan" && windows.length !== units.length * 32_768))
    return false;
  for (const { node } of walkTree(root)) {
    if (node.kind !== "file" || node.size === 0n) continue;
    const start = node.dataOffset ?? -1n;
    if (start < 512n || start % 512n !== 0n || start + node.size > BigInt(dataSize)) return false;
  }
  return true;
}

/** All places of a zTOC but those in the windows, where every byte is as good as another. */
function placesOf(bytes: Buffer, zinfoLength: number): number[] {
  const start = bytes.indexOf(layer.zinfo.subarray(0, 40));
  return [...bytes.keys()].filter((at) => start < 0 || at < start + 60 || at > start + zinfoLength - 10);
}

t.test(
  "compileZtoc() takes a zTOC with any byte changed as refused, or as one inside its layer",
  async (t) => {
    const samples: readonly [Buffer, number, number][] = [
      [new Places().bytes, layer.blob.length, layer.zinfo.length],
      [plainLayer.ztoc, plainLayer.blob.length, plainLayer.zinfo.length],
    ];
    let accepted = 0;
    for (const [bytes, blobSize, zinfoLength] of samples) {
      for (const at of placesOf(bytes, zinfoLength)) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const copy = Buffer.from(bytes);
          copy[at]! ^= flip;
          const compiled = compiledOrRefused(copy, blobSize);
          if (compiled === undefined) continue;
          accepted += 1;
          if (!isInside(compiled, blobSize)) t.fail(`byte ${at} ^ ${flip} makes a layer that leads outside`);
        }
      }
    }
    t.ok(accepted > 0, `${accepted} changes only change names, modes and the like`);
  },
);

t.test("compileZtoc() refuses a zTOC that is cut off anywhere", async (t) => {
  const { bytes } = new Places();
  for (const at of placesOf(bytes, layer.zinfo.length)) {
    if (compiledOrRefused(bytes.subarray(0, at), layer.blob.length) !== undefined) {
      t.fail(`cut at ${at} it is taken`);
    }
  }
  t.pass("all cuts tried");
});
