import t from "tap";
import type { BenchContestant, BenchSeries } from "../../src/bench/contract.js";
import {
  parseReport,
  renderHtml,
  renderJson,
  renderMarkdown,
  renderTable,
  replaceTable,
} from "../../src/bench/report/index.js";
import { compare, countVerdicts, percentile } from "../../src/bench/statistics.js";
import { LazuliError } from "../../src/errors/index.js";
import { hostileReport, hostileTexts, startReport, tinyReport } from "./sample-reports.js";

const reports = { tiny: tinyReport, start: startReport({ workloadCount: 2 }), hostile: hostileReport() };

/** Control characters, and what turns the direction of writing around. */
const unprintable = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

function seriesOf(
  contestants: Record<string, readonly (number | undefined)[]>,
  isLessBetter = true,
): BenchSeries {
  const all = Object.entries(contestants).map(
    ([name, values], index): BenchContestant => ({ name, isBaseline: index === 0, values, trace: undefined }),
  );
  return { subject: "s", measure: "m", unit: "ms", isLessBetter, contestants: all };
}

/** A report with another value at one place. */
function withValue(report: string, path: readonly (string | number)[], value: unknown): Buffer {
  const root = JSON.parse(report);
  let target = root;
  for (const key of path.slice(0, -1)) target = target[key];
  target[path.at(-1)!] = value;
  return Buffer.from(JSON.stringify(root));
}

t.test("parseReport() reads what renderJson() has written", async (t) => {
  for (const [name, report] of Object.entries(reports)) {
    const again = parseReport(Buffer.from(renderJson(report)));
    t.equal(renderJson(again), renderJson(report), name);
    t.equal(renderHtml(again), renderHtml(report), `${name}: the same page`);
  }
});

t.test("parseReport() refuses what is no report, and says where", async (t) => {
  const good = renderJson(startReport({ workloadCount: 1 }));
  const first = ["series", 0, "contestants", 1];
  const cases: readonly (readonly [string, readonly (string | number)[], unknown])[] = [
    ["another version", ["version"], 2],
    ["an unknown kind", ["kind"], "toString"],
    ["a unit that is none", ["series", 0, "unit"], "furlong"],
    ["a text for a figure", [...first, "values", 0], "1"],
    ["a negative figure", [...first, "values", 0], -1],
    ["a list for the machine", ["machine"], []],
    ["no notes", ["notes"], undefined],
    ["a condition of three", ["conditions", 0], ["a", "b", "c"]],
    ["too many contestants", ["series", 0, "contestants"], Array(65).fill({})],
  ];
  for (const [name, path, value] of cases) {
    const place = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
    const message = new RegExp(` at ${place.slice(1).replace(/[[\].]/g, "\\$&")}`);
    const bytes = withValue(good, path, value);
    t.throws(() => parseReport(bytes), { code: "INVALID_ARGUMENT", reason: "report-invalid", message }, name);
  }
  const badTrace = withValue(good, [...first, "trace", "touches", 0, "layer"], 99);
  t.throws(() => parseReport(badTrace), { code: "DATA_LOSS", reason: "trace-damaged", message: /layer/ });
  t.throws(() => parseReport(Buffer.from("{")), LazuliError);
  t.throws(() => parseReport(Buffer.from("[".repeat(100))), {
    code: "RESOURCE_EXHAUSTED",
    reason: "json-too-deep",
    message: /JSON/,
  });
});

t.test("compare() calls no difference what the rounds don't bear out", async (t) => {
  const verdict = (
    base: readonly number[],
    own: readonly number[],
    isLessBetter = true,
    repeatability?: number,
  ) => {
    const series = seriesOf({ base, own }, isLessBetter);
    return compare(series, series.contestants[1]!, repeatability).verdict;
  };
  t.equal(verdict([10, 11, 12], [5, 6, 7]), "better");
  t.equal(verdict([10, 11, 12], [20, 21, 22]), "worse");
  t.equal(verdict([10, 11, 12], [20, 21, 22], false), "better");
  t.equal(verdict([10, 11, 12], [5, 6, 7], false), "worse");
  t.equal(verdict([10, 11, 12], [10, 11.5, 12]), "even", "each median lies within the other's rounds");
  t.equal(verdict([10, 10, 10], [10.3, 10.3, 10.3]), "worse");
  t.equal(verdict([10, 10, 10], [10.3, 10.3, 10.3], true, 1.05), "even", "two runs differ by more");
  t.equal(verdict([10, 10, 10], [10.3, 10.3, 10.3], true, 0.95), "even", "in either direction");
  t.equal(verdict([10], [10]), "even");
  t.equal(verdict([10], [0]), "better");
});

t.test("compare() has no ratio without figures, and counts rounds that failed", async (t) => {
  const series = seriesOf({ base: [undefined, undefined], own: [1, undefined, 3] });
  t.match(compare(series, series.contestants[0]!, undefined), { spread: undefined, failedRounds: 2 });
  t.match(compare(series, series.contestants[1]!, undefined), {
    ratio: undefined,
    verdict: undefined,
    failedRounds: 1,
  });
  t.same(countVerdicts([series], undefined), { better: 0, worse: 0, even: 0 });
  t.match(compare(seriesOf({ base: [0], own: [1] }), series.contestants[1]!, undefined), {
    ratio: undefined,
  });
});

t.test("percentile() is by nearest rank", async (t) => {
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  t.same(
    [50, 90, 99, 100].map((percent) => percentile(values, percent)),
    [50, 90, 99, 100],
  );
  t.same(
    [50, 90, 99].map((percent) => percentile([1, 2, 3, 4, 5], percent)),
    [3, 5, 5],
  );
  t.equal(percentile([7], 50), 7);
});

t.test("renderTable() shows losses and failures beside wins", async (t) => {
  const report = {
    ...tinyReport,
    series: [seriesOf({ containerd: [100, 101, 102], lazuli: [300, 301, 302], other: [50, undefined, 51] })],
    notes: ["other failed once"],
  };
  const text = renderTable(report);
  t.match(text, /containerd .*101 ms .*1\.00 × +baseline/);
  t.match(text, /lazuli .*301 ms +\(300 ms to 302 ms\) +2\.98 × +worse/);
  t.match(text, /other .*better, 1 of 3 rounds failed/);
  t.match(text, /better in 1 of 2 comparisons, worse in 1,/);
  t.match(text, /- other failed once/);
});

t.test("renderTable() keeps terminals from what names would do to them", async (t) => {
  const text = renderTable(reports.hostile);
  t.notMatch(text.replaceAll("\n", ""), unprintable);
  t.ok(
    text.split("\n").every((line) => line.length < 800),
    "no line is endless",
  );
});

t.test("renderHtml() lets no name become markup", async (t) => {
  const page = renderHtml(reports.hostile);
  t.equal(page.match(/<script/g)?.length, 1);
  t.equal(page.match(/<\/script>/g)?.length, 1);
  t.equal(page.match(/<style/g)?.length, 1);
  t.notMatch(page, /<img|<!-- bench/);
  t.notMatch(
    page.replaceAll("\n", ""),
    unprintable,
    "no control characters, nothing that turns writing around",
  );
  t.notMatch(page, /w{700}/, "no endless words");
  t.match(page, /default-src 'none'/);
});

t.test("renderMarkdown() gives a line for each series, the best in bold", async (t) => {
  const report = {
    ...tinyReport,
    series: [
      seriesOf({ containerd: [100], lazuli: [50] }),
      seriesOf({ containerd: [1], lazuli: [undefined] }),
    ],
  };
  t.match(renderMarkdown(report), "| s: m | 100 ms | **50 ms** (0.50 ×) |");
  t.match(renderMarkdown(report), "| s: m | 1 ms | failed |");
  const chosen = renderMarkdown(startReport({ workloadCount: 2 }), { only: ["first output"] });
  t.equal(chosen.split("\n").filter((line) => line.startsWith("| ")).length, 4, "a head, a rule, two lines");
  for (const line of renderMarkdown(reports.hostile)
    .split("\n")
    .filter((one) => one.startsWith("|"))) {
    t.equal(line.match(/(?<!\\)\|/g)?.length, hostileTexts.length + 2, "no name ends its cell");
  }
});

t.test("replaceTable() writes between the markers of its kind only", async (t) => {
  const text =
    "a\n<!-- bench:fs -->\nold\n<!-- /bench:fs -->\nb\n<!-- bench:start -->\nx\n<!-- /bench:start -->\nc\n";
  const first = replaceTable(text, { kind: "start", table: "| $& |" });
  t.equal(
    first,
    text.replace("x\n", () => "| $& |\n"),
  );
  t.equal(replaceTable(first, { kind: "start", table: "| $& |" }), first, "again: nothing changes");
  for (const bad of ["", "<!-- bench:start -->", "<!-- /bench:start --><!-- bench:start -->", text + text]) {
    t.throws(() => replaceTable(bad, { kind: "start", table: "" }), {
      code: "INVALID_ARGUMENT",
      reason: "markers-missing",
      message: /once each/,
    });
  }
});
