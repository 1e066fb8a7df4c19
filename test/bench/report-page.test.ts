import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import t from "tap";
import type { BenchReport } from "../../src/bench/contract.js";
import { renderHtml } from "../../src/bench/report/index.js";
import { chromiumPath, type Looks, openBrowser, type Page } from "../../testing/browser/index.js";
import { hostileReport, startReport, tinyReport } from "./sample-reports.js";

const reports: Readonly<Record<string, BenchReport>> = {
  tiny: tinyReport,
  large: startReport({ workloadCount: 4, rounds: 20 }),
  hostile: hostileReport(),
};
const small = startReport({ workloadCount: 1 });

const looks: readonly Looks[] = [
  { width: 1400, scheme: "light" },
  { width: 1400, scheme: "dark" },
  { width: 390, scheme: "light" },
  { width: 700, media: "print", scheme: "dark" },
];

/** Elements that stick out of the page to the right, unless a box that scrolls holds them. */
const stickingOut = `[...document.querySelectorAll("body *")].filter((one) =>
  !one.closest(".scroll, svg, .skip, .defs") && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((one) => one.tagName + "." + one.className).slice(0, 5)`;

const contrasts = `(() => {
  const light = (text) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = text.match(/[\\d.]+/g).map(Number).map(part);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const texts = ["h1", ".lead", "small", ".verdict.better", ".verdict.worse", ".verdict.even", "a"];
  return texts.map((name) => {
    const ink = light(getComputedStyle(document.querySelector(name)).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
})()`;

t.test(
  "the page in a browser",
  {
    skip: chromiumPath() === undefined && "Chromium is not installed: bash scripts/setup-bench.sh does that",
  },
  async (t) => {
    await using browser = await openBrowser();
    const folder = await mkdtemp(join(tmpdir(), "lazuli-report-"));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const open = async (report: BenchReport): Promise<Page> => {
      const file = join(folder, `${report.series.length}.html`);
      await writeFile(file, renderHtml(report));
      return await browser.open(pathToFileURL(file).href);
    };

    for (const [name, report] of Object.entries(reports)) {
      await t.test(`renderHtml() makes a page without errors and overflow of a ${name} report`, async (t) => {
        const page = await open(report);
        for (const look of looks) {
          await page.look(look);
          const [wanted, got] = (await page.evaluate(
            "[document.documentElement.clientWidth, document.documentElement.scrollWidth]",
          )) as [number, number];
          t.equal(got, wanted, `${JSON.stringify(look)}: it is as wide as the window`);
          t.same(await page.evaluate(stickingOut), [], `${JSON.stringify(look)}: nothing sticks out`);
        }
        t.match(await page.evaluate("document.title"), /^lazuli bench /, "no name ran as a script");
        t.same(page.problems, [], "no exception, no message, no request");
      });
    }

    await t.test("renderHtml() makes texts that stand out from their paper, in light and dark", async (t) => {
      const page = await open(small);
      for (const scheme of ["light", "dark"] as const) {
        await page.look({ scheme });
        for (const ratio of (await page.evaluate(contrasts)) as number[])
          t.ok(ratio >= 4.5, `${scheme}: ${ratio}`);
      }
    });

    await t.test("renderHtml() makes charts that keys can read, each with a name", async (t) => {
      const page = await open(small);
      t.equal(await page.evaluate(`document.querySelectorAll("svg.chart:not([aria-label])").length`), 0);
      await page.evaluate(`document.querySelector("svg.chart").focus()`);
      await page.press("ArrowRight");
      const first = await page.evaluate(`document.querySelector(".waterfall + .readout").textContent`);
      t.match(first, /waited|request/);
      await page.press("End");
      t.not(await page.evaluate(`document.querySelector(".waterfall + .readout").textContent`), first);
      t.equal(await page.evaluate(`document.querySelectorAll(".mark.on").length`), 1);
    });

    await t.test("renderHtml() makes a page that prints", async (t) => {
      const page = await open(small);
      const { data } = await page.call("Page.printToPDF", { preferCSSPageSize: true });
      t.equal(Buffer.from(String(data), "base64").subarray(0, 5).toString(), "%PDF-");
    });
  },
);
