import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseReport } from "../../src/bench/report/index.js";
import { command } from "../../testing/rig/command.js";
import { projectRoot } from "../../testing/rig/lab.js";

t.setTimeout(180_000);

const wanted = [
  "ingest small blobs",
  "create images",
  "collect, all removed",
  "prepare, empty",
  "commit 10 MiB",
  "list 5 snapshots",
];

t.test("lazuli bench store writes a report of lazuli beside containerd", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-store-report-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "report.json");
  const small = ["--quick", "--objects", "30", "--snapshots", "5", "--snapshotter", "overlayfs"];
  const words = ["bench", "store", ...small, "--folder", folder, "--json", file];
  const { stdout } = await command(join(projectRoot, "bin", "lazuli"), words);
  const report = parseReport(await readFile(file));
  t.equal(report.kind, "store");
  const found = report.series.map(({ measure }) => measure);
  for (const measure of wanted) t.ok(found.includes(measure), measure);
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

t.test("lazuli bench store refuses what it can't measure", async (t) => {
  const { code, stderr } = await command(
    join(projectRoot, "bin", "lazuli"),
    ["bench", "store", "--rounds", "0"],
    { allow: [2] },
  );
  t.equal(code, 2);
  t.match(stderr, /want at least one of --rounds/);
});
