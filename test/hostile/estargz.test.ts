import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { type HostileCase, verdictOf } from "./estargz-case.js";
import { footerCases } from "./estargz-footer-cases.js";
import { tocCases } from "./estargz-toc-cases.js";
import { bounded } from "./growth.js";

t.setTimeout(0);

/** The longest TOC that a case makes, and its member. */
const INPUT_BYTES_MAX = 300 << 20;

const sets: Readonly<Record<string, { cases: readonly HostileCase[]; least: number }>> = {
  "openToc() refuses each hostile footer and TOC member": { cases: footerCases, least: 40 },
  "compileToc() refuses each hostile TOC": { cases: tocCases, least: 110 },
};

t.test("the cases are counted", async (t) => {
  const cases = footerCases.length + tocCases.length;
  const figures = { cases, footers: footerCases.length, TOCs: tocCases.length };
  t.ok(cases > 0);
  await recordCounts({ name: "hostile-estargz", what: "Hostile eStargz layers", figures });
});

for (const [name, { cases, least }] of Object.entries(sets)) {
  t.test(name, async (t) => {
    for (const hostile of cases) {
      const { code, reason } = hostile;
      t.same(
        await bounded(t, hostile.name, () => verdictOf(hostile), INPUT_BYTES_MAX),
        { code, reason },
        hostile.name,
      );
    }
    const names = new Set(cases.map((hostile) => hostile.name));
    t.equal(names.size, cases.length, "each case has a name of its own");
    t.ok(cases.length >= least, `${cases.length} named cases`);
    t.comment(`${cases.length} named cases`);
  });
}
