import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { type GateCase, outcomeOf } from "./gate-case.js";
import { hostCases } from "./gate-host-cases.js";
import { imageCases } from "./gate-image-cases.js";
import { ociCases } from "./gate-oci-cases.js";
import { processCases } from "./gate-process-cases.js";
import { proxyCases } from "./gate-proxy-cases.js";
import { storeCases } from "./gate-store-cases.js";
import { wireCases } from "./gate-wire-cases.js";

const sets: Readonly<Record<string, readonly GateCase[]>> = {
  "documents and names of images": ociCases,
  "processes of images": processCases,
  "registries and credentials": hostCases,
  "programs and clients of the node": wireCases,
  "archives, keys, artifacts and lists": storeCases,
  "services behind sockets that lie": proxyCases,
  "meta images, checkpoints and events": imageCases,
};
/** What a parser may hold on to beyond what it was given. */
const GROWTH_BYTES_MAX = 256 << 20;

/** `O-dig-3` runs that case only; what it ends with is shown. */
const only = process.env.LAZULI_CASE;

t.setTimeout(0);

for (const [set, cases] of Object.entries(sets)) {
  t.test(`each hostile input has its verdict: ${set}`, async (t) => {
    const seen = new Map<string, number>();
    for (const one of cases) {
      const number = (seen.get(one.group) ?? 0) + 1;
      seen.set(one.group, number);
      if (only !== undefined && only !== `${one.group}-${number}`) continue;
      const before = process.memoryUsage.rss();
      const name = `${one.group}-${number} ${one.name}`;
      try {
        const outcome = await outcomeOf(one);
        t.same(outcome, one.wanted, name);
        if (only !== undefined) t.comment(outcome);
      } catch (error) {
        t.fail(`${name}: ${String(error)}`);
      }
      const grown = process.memoryUsage.rss() - before;
      if (grown > GROWTH_BYTES_MAX) t.fail(`${name} takes ${grown} bytes`);
    }
    const names = new Set(cases.map(({ group, name }) => `${group} ${name}`));
    t.equal(names.size, cases.length, "each case has a name of its own");
  });
}

t.test("the cases are counted", async (t) => {
  const all = Object.values(sets).flat();
  const figures: Record<string, number> = { cases: all.length };
  for (const { group } of all) figures[group] = (figures[group] ?? 0) + 1;
  t.ok(all.length >= 200, `${all.length} cases`);
  if (only !== undefined) return;
  await recordCounts({ name: "hostile-gate", what: "Hostile inputs of every other room, by group", figures });
});
