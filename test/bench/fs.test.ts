import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { benchFs, fsOperations } from "../../src/bench/fs/index.js";
import { parseReport, renderHtml, renderJson, renderTable } from "../../src/bench/report/index.js";
import { projectRoot } from "../../testing/rig/lab.js";

t.setTimeout(180_000);

t.test("benchFs() measures every operation on every rung, and leaves nothing behind", async (t) => {
  const tree = await mkdtemp(join(tmpdir(), "lazuli-fs-tree-"));
  t.teardown(() => rm(tree, { recursive: true, force: true }));
  await mkdir(join(tree, "folder"));
  for (let file = 0; file < 20; file += 1)
    await writeFile(join(tree, "folder", `${file}`), `${file}`.repeat(3000));
  await symlink("folder/1", join(tree, "link"));
  const told: string[] = [];
  const report = await benchFs({
    origin: { kind: "tree", folder: tree },
    rounds: 1,
    jobs: [2],
    operations: fsOperations.map(({ name }) => name),
    peers: [
      { name: "the folder itself", folder: tree },
      { name: "nothing", folder: join(tree, "missing") },
    ],
    program: [process.execPath, join(projectRoot, "bin", "lazuli")],
    cacheFolder: join(tree, "unused"),
    tell: (line) => told.push(line),
    signal: new AbortController().signal,
  });

  const first = report.series[0]!;
  const names = first.contestants.map(({ name }) => name);
  t.match(names, ["overlayfs, local"], "the baseline is the first");
  for (const rung of ["lazuli, FUSE tree", "the folder itself"]) t.ok(names.includes(rung), rung);
  for (const state of ["cold", "warm"]) {
    const measures = report.series.filter(({ subject }) => subject === `${state}, 2 jobs`);
    t.same(
      new Set(measures.map(({ measure }) => measure)),
      new Set(fsOperations.map(({ meaning }) => meaning)),
      state,
    );
  }
  for (const { measure, subject, contestants } of report.series) {
    for (const { name, values } of contestants.filter(
      (one) => one.name !== "nothing" && one.name !== "fuse-native",
    )) {
      t.ok(values.length === 1 && values[0] !== undefined, `${subject}, ${measure}, ${name}`);
    }
  }
  t.ok(
    first.contestants.find(({ name }) => name === "nothing")!.values.every((value) => value === undefined),
  );
  t.ok(
    report.notes.some((note) => note.startsWith("nothing: ")),
    "why a tree has no figure stands in the notes",
  );
  t.ok(report.series.some(({ measure }) => measure === "FUSE messages"));
  t.ok(
    told.some((line) => line.startsWith("round 1 of 1")),
    "progress is told",
  );
  t.equal(renderJson(parseReport(Buffer.from(renderJson(report)))), renderJson(report));
  t.match(renderTable(report), /lazuli, FUSE tree/);
  t.match(renderHtml(report), /^<!doctype html>/);
  t.notMatch(await readFile("/proc/self/mountinfo", "utf8"), /lazuli-bench-fs-/, "no mount is left");
});
