/**
 * Question: what do file operations cost in a container's tree, on each rung of the ladder, against the same tree
 * unpacked on a local overlayfs and against a FUSE server on fuse-native?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/fs/main.js [--rounds 5] [--json]
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { projectRoot, startLab } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { pythonRegistry } from "../../testing/rig/python-registry.js";
import { machineFacts } from "../../src/bench/machine.js";
import { type Spread, spreadOf } from "../../src/bench/statistics.js";

const OPENS = 20_000;
const RANDOM_READS = 20_000;
const FILE = "usr/bin/python3.11";

interface Subject {
  readonly name: string;
  /** The tree of the image. */
  readonly folder: string;
  /** FUSE messages so far, where lazuli serves. */
  readonly messages: () => Promise<number>;
}

type Row = Record<string, Spread>;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "5" }, json: { type: "boolean" } },
  });
  const rounds = Number(values.rounds);
  await using cleanup = new Cleanup();
  const work = await mkdtemp(join(tmpdir(), "lazuli-bench-"));
  cleanup.add(() => rm(work, { recursive: true, force: true }));
  const probe = join(work, "probe");
  await command("g++", ["-O2", "-std=c++20", "-o", probe, join(projectRoot, "bench", "fs", "probe.cc")]);
  const subjects = await prepareSubjects(cleanup, work);
  const rows: Record<string, Row> = {};
  for (const subject of subjects) rows[subject.name] = await measure(subject, probe, rounds);
  const facts = await machineFacts();
  if (values.json === true) console.log(JSON.stringify({ facts, rounds, rows }, null, 2));
  else print(facts, rows);
}

/** The same tree several times: overlayfs on local files, both lazy rungs, and fuse-native. */
async function prepareSubjects(cleanup: Cleanup, work: string): Promise<Subject[]> {
  const registry = await pythonRegistry({ projectRoot, scratch: work });
  cleanup.add(() => registry.stop());
  const image = `${registry.host}/python:esgz`;
  const subjects: Subject[] = [];
  for (const rung of ["erofs", "fuse-tree"]) {
    const lab = await startLab({ config: `[layer]\nmount = "${rung}"\nbackground_fill = false` });
    cleanup.add(async () => await lab[Symbol.asyncDispose]());
    const mounted = async (snapshotter: string): Promise<string> => {
      const view = await mountImage({ containerd: lab.containerd, image, snapshotter, below: work });
      cleanup.add(async () => await view[Symbol.asyncDispose]());
      return view.folder;
    };
    if (rung === "erofs") {
      await lab.containerd.ctr(["images", "pull", "--plain-http", image]);
      const local = await mounted("overlayfs");
      subjects.push({ name: "overlayfs, local", folder: local, messages: async () => 0 });
      subjects.push(await fuseNative(cleanup, work, local));
    }
    await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
    const folder = await mounted("lazuli");
    const { pid } = lab.snapshotter;
    console.error(`${rung}: resident memory after the pull ${await residentMiB(pid)} MiB`);
    await command("bash", ["-c", `find ${folder} -type f -print0 | xargs -0 cat > /dev/null`]);
    console.error(`${rung}: resident memory after reading all ${await residentMiB(pid)} MiB`);
    const messages = async (): Promise<number> =>
      JSON.parse((await lab.snapshotter.lazuli(["status", "--json"])).stdout).counters
        .lazuli_fuse_messages_total;
    subjects.push({ name: `lazuli, ${rung}`, folder, messages });
  }
  return subjects;
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}

async function fuseNative(cleanup: Cleanup, work: string, source: string): Promise<Subject> {
  const folder = await mkdtemp(join(work, "fuse-native-"));
  const server = spawn(
    process.execPath,
    [join(projectRoot, "bench", "fs", "fuse-native-server.cjs"), source, folder],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.stdout.once("data", () => resolve());
    server.once("exit", (code) =>
      reject(new Error(`fuse-native ended with ${code}: npm run bench:fs installs what it needs`)),
    );
  });
  cleanup.add(async () => {
    await command("umount", ["-l", folder], { allow: [1, 32] });
    server.kill("SIGKILL");
  });
  return { name: "fuse-native", folder, messages: async () => 0 };
}

async function measure(subject: Subject, probe: string, rounds: number): Promise<Row> {
  const samples: Record<string, number[]> = {};
  const add = (name: string, value: number): void => {
    samples[name] ??= [];
    samples[name].push(value);
  };
  const run = async (...args: string[]): Promise<{ nanoseconds: number; count: number; bytes: number }> =>
    JSON.parse((await command(probe, args)).stdout);
  const file = join(subject.folder, FILE);
  for (let round = 0; round < rounds; round += 1) {
    await dropCaches();
    const coldWalk = await run("walk", subject.folder);
    add("cold walk, us/entry", coldWalk.nanoseconds / coldWalk.count / 1000);
    const warmWalk = await run("walk", subject.folder);
    add("warm walk, us/entry", warmWalk.nanoseconds / warmWalk.count / 1000);
    const coldRead = await run("sequential", file);
    add("sequential after drop, MiB/s", coldRead.bytes / 2 ** 20 / (coldRead.nanoseconds / 1e9));
    const messagesBefore = await subject.messages();
    const warmRead = await run("sequential", file);
    add("sequential cached, MiB/s", warmRead.bytes / 2 ** 20 / (warmRead.nanoseconds / 1e9));
    const random = await run("random", file, String(RANDOM_READS));
    add("random 4 KiB cached, us", random.nanoseconds / random.count / 1000);
    const open = await run("open", file, String(OPENS));
    add("open and close, us", open.nanoseconds / open.count / 1000);
    add("messages, warm run", (await subject.messages()) - messagesBefore);
  }
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, spreadOf(values)]));
}

function print(facts: Record<string, string>, rows: Record<string, Row>): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)} ${value}`);
  const subjects = Object.keys(rows);
  console.log(
    `\n${"median (least-greatest)".padEnd(32)}${subjects.map((name) => name.padStart(26)).join("")}`,
  );
  for (const metric of Object.keys(rows[subjects[0]!]!)) {
    const cells = subjects.map((name) => {
      const { median, least, greatest } = rows[name]![metric]!;
      const digits = median < 100 ? 2 : 0;
      return `${median.toFixed(digits)} (${least.toFixed(digits)}-${greatest.toFixed(digits)})`.padStart(26);
    });
    console.log(`${metric.padEnd(32)}${cells.join("")}`);
  }
}

await main();
