import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseReport } from "../../src/bench/report/index.js";
import { command } from "../../testing/rig/command.js";
import { projectRoot } from "../../testing/rig/lab.js";

t.setTimeout(180_000);

const runs = [
  {
    name: "store",
    words: ["--objects", "30"],
    measures: ["ingest small blobs", "create images", "collect, all removed"],
  },
  {
    name: "snapshots",
    words: ["--snapshots", "5", "--snapshotter", "overlayfs"],
    measures: ["prepare, empty", "commit 10 MiB", "list 5 snapshots"],
  },
];

for (const { name, words, measures } of runs) {
  t.test(`bench/${name} writes a report of lazuli beside containerd`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "lazuli-store-report-"));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "report.json");
    const script = join(projectRoot, "dist", "bench", name, "main.js");
    const { stdout } = await command(process.execPath, [
      script,
      ...["--rounds", "1", "--quick", "--json", file],
      ...words,
    ]);
    const report = parseReport(await readFile(file));
    t.equal(report.kind, "store");
    const found = report.series.map(({ measure }) => measure);
    for (const measure of measures) t.ok(found.includes(measure), measure);
    for (const { measure, contestants } of report.series) {
      t.same(
        contestants.map((one) => [one.name, one.isBaseline, one.values.length > 0]),
        [
          ["containerd", true, true],
          ["lazuli", false, true],
        ],
        measure,
      );
    }
    t.match(stdout, /containerd .* baseline\n/);
  });
}
