import { spawn } from "node:child_process";
import { access, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseReport } from "../../src/bench/report/index.js";
import { projectRoot } from "../../testing/rig/lab.js";

const cache = join(projectRoot, "build", "bench");

interface Bench {
  readonly ended: Promise<number | null>;
  /** All that it has said so far. */
  said(): string;
  /** When it has said this. */
  saying(text: string): Promise<void>;
  stop(signal: NodeJS.Signals): void;
}

/** @param folder takes everything that is temporary */
function bench(folder: string, words: readonly string[]): Bench {
  const program = join(projectRoot, "bin", "lazuli");
  const child = spawn(program, ["bench", "start", "--cache", cache, ...words], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return {
    ended,
    said: () => said,
    saying: async (text) => {
      const heard = new Promise<void>((resolve) => {
        child.stderr.on("data", () => {
          if (said.includes(text)) resolve();
        });
      });
      await Promise.race([heard, ended]);
    },
    stop: (signal) => child.kill(signal),
  };
}

t.test("lazuli bench start measures each contestant and leaves nothing behind", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-test-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const json = join(folder, "report.json");
  const soci = join(projectRoot, "build", "soci", "bin");
  const hasSoci = await access(join(soci, "soci")).then(
    () => true,
    () => false,
  );
  const peers = hasSoci ? ["--soci", soci] : [];
  const words = ["--quick", "--workload", "redis", "--seed", "1", "--json", json, ...peers];
  const running = bench(folder, words);
  t.equal(await running.ended, 0, running.said());
  const report = parseReport(await readFile(json));
  t.equal(report.kind, "start");
  for (const measure of ["ready", "first output", "create", "bytes fetched", "requests"]) {
    const series = report.series.find((one) => one.subject === "redis" && one.measure === measure);
    const names = series?.contestants.map(({ name }) => name) ?? [];
    for (const name of ["containerd", "lazuli-estargz", "daemon-estargz-profile"]) {
      const values = series?.contestants.find((one) => one.name === name)?.values;
      t.ok(values?.length === 1 && values[0]! > 0, `${measure} of ${name}: ${values}`);
    }
    t.equal(names.includes("soci-snapshotter"), hasSoci, "a peer that is found takes part");
  }
  t.match(running.said(), "redis: ready", "a table is printed");
  t.same(await readdir(folder), ["report.json"]);
});

t.test("lazuli bench start cleans up when it is told to end", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-test-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const words = ["--workload", "redis", "--contestant", "containerd", "--rounds", "100"];
  const running = bench(folder, words);
  await running.saying("1/100 redis");
  running.stop("SIGTERM");
  t.not(await running.ended, 0);
  t.match(running.said(), "1/100 redis");
  t.same(await readdir(folder), []);
  t.notMatch(await readFile("/proc/mounts", "utf8"), folder);
});
