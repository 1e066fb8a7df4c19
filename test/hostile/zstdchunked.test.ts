import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { type HostileCase, verdictOf } from "./estargz-case.js";
import { bounded } from "./growth.js";
import { zstdContentCases } from "./zstdchunked-content-cases.js";
import { zstdFrameCases } from "./zstdchunked-frame-cases.js";

t.setTimeout(0);

const sets: Readonly<Record<string, { cases: readonly HostileCase[]; least: number }>> = {
  "openZstdChunked() refuses each hostile footer, annotation and frame": { cases: zstdFrameCases, least: 90 },
  "compileZstdChunked() and readTarSplit() refuse each hostile content": {
    cases: zstdContentCases,
    least: 60,
  },
};

t.test("the cases are counted", async (t) => {
  const cases = zstdFrameCases.length + zstdContentCases.length;
  const figures = { cases, frames: zstdFrameCases.length, contents: zstdContentCases.length };
  t.ok(cases > 0);
  await recordCounts({ name: "hostile-zstdchunked", what: "Hostile zstd:chunked layers", figures });
});

for (const [name, { cases, least }] of Object.entries(sets)) {
  t.test(name, async (t) => {
    for (const hostile of cases) {
      const { code, reason } = hostile;
      t.same(await bounded(t, hostile.name, () => verdictOf(hostile)), { code, reason }, hostile.name);
    }
    t.equal(
      new Set(cases.map((hostile) => hostile.name)).size,
      cases.length,
      "each case has a name of its own",
    );
    t.ok(cases.length >= least, `${cases.length} named cases`);
    t.comment(`${cases.length} named cases`);
  });
}
