/**
 * Question: how soon does a pod of an image that the node does not have say something, asked for through CRI as a kubelet
 * asks: lazuli's daemon with an eStargz image (lazily) and with plain gzip layers (whole, without unpacking), against
 * releases of containerd that pull the same image in full?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/pods/main.js [--rounds 5] [--suites FOLDER] [--json]
 *
 * FOLDER is one in which scripts/suites/build.sh built containerd of its newest source; without it the releases of Debian
 * are the peers. Every round starts on empty folders and with cold caches, but containerd has its pause image already.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { machineFacts } from "../../src/bench/machine.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { pythonRegistry } from "../../testing/rig/python-registry.js";
import { type ColdPod, coldPod } from "./cold-pod.js";
import { releases } from "./node-engine.js";
import { pauseImageArchive } from "./pause-image.js";

const links = {
  "20 ms, 400 Mbit/s": { rttMs: 20, bitsPerSecond: 400e6 },
  unlimited: undefined,
} as const;

const subjects = [
  { title: "lazuli, eStargz", name: "lazuli", tag: "esgz" },
  { title: "lazuli, gzip", name: "lazuli", tag: "org" },
  ...releases.map((name) => ({ title: name, name, tag: "org" }) as const),
] as const;

interface Round extends ColdPod {
  readonly link: string;
  readonly title: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      suites: { type: "string" },
      json: { type: "boolean" },
    },
  });
  const suites = values.suites === undefined ? undefined : resolve(values.suites);
  await using cleanup = new Cleanup();
  const newer = join(projectRoot, "build", "newer");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), newer]);
  const scratch = await mkdtemp(join(tmpdir(), "lazuli-bench-pods-"));
  cleanup.add(() => rm(scratch, { recursive: true, force: true }));
  const registry = await pythonRegistry({ projectRoot, scratch });
  cleanup.add(() => registry.stop());
  const pause = await pauseImageArchive(scratch);
  const compared = subjects.filter(({ name }) => name !== "containerd head" || suites !== undefined);
  const rounds: Round[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const [link, speed] of Object.entries(links)) {
      for (const { title, name, tag } of rotated(compared, round)) {
        const folder = join(scratch, "node");
        const seen = await coldPod({ name, tag, folder, suites, pause, port: registry.port, speed });
        rounds.push({ link, title, ...seen });
        console.error(`${link}: ${title}: ${seen.outputSeconds.toFixed(2)} s`);
      }
    }
  }
  const versions = {
    newer: (await command(join(newer, "bin", "containerd"), ["--version"])).stdout.trim(),
    ...(suites === undefined
      ? {}
      : { head: (await command(join(suites, "bin", "containerd"), ["--version"])).stdout.trim() }),
  };
  const facts = { ...(await machineFacts()), ...versions };
  if (values.json === true) console.log(JSON.stringify({ facts, rounds }, null, 2));
  else print(facts, rounds);
}

function rotated<Value>(values: readonly Value[], by: number): Value[] {
  const start = by % values.length;
  return [...values.slice(start), ...values.slice(0, start)];
}

function print(facts: Record<string, string>, rounds: readonly Round[]): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)}${value}`);
  console.log(
    "\nseconds from RunPodSandbox until the program's first line is in the log, median (least to greatest);" +
      "\nthe ratios are of the other's time that lazuli takes, eStargz and gzip: below 1 it is ahead",
  );
  for (const link of Object.keys(links)) {
    console.log(`\n${link}`);
    const of = (title: string) => rounds.filter((round) => round.link === link && round.title === title);
    const middle = (all: readonly Round[], key: "outputSeconds" | "podSeconds" | "pullSeconds") =>
      spreadOf(all.map((round) => round[key])).median;
    for (const { title, name } of subjects) {
      const all = of(title);
      if (all.length === 0) continue;
      const { median, least, greatest } = spreadOf(all.map(({ outputSeconds }) => outputSeconds));
      const ratios =
        name === "lazuli"
          ? ""
          : subjects
              .filter((subject) => subject.name === "lazuli")
              .map((subject) => (middle(of(subject.title), "outputSeconds") / median).toFixed(2))
              .join("  ");
      const text = `${median.toFixed(2)} (${least.toFixed(2)} to ${greatest.toFixed(2)})`;
      console.log(`  ${title.padEnd(17)}${text.padEnd(26)}${ratios}`);
      const parts = [
        `pod ${middle(all, "podSeconds").toFixed(2)}`,
        `pull ${middle(all, "pullSeconds").toFixed(2)}`,
        `container ${spreadOf(all.map(({ containerSeconds }) => containerSeconds)).median.toFixed(2)}`,
        ...(all[0]!.megabytes === undefined
          ? []
          : [`${spreadOf(all.map(({ megabytes }) => megabytes ?? 0)).median.toFixed(1)} MB by then`]),
      ];
      console.log(`    ${parts.join(", ")}`);
    }
  }
}

await main();
