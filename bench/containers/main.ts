/**
 * Question: how long does a container take to start and to end, how much memory does it take, and how soon does one of an
 * image that is not there yet say something? lazuli's daemon against two releases of containerd, with the same client, shim
 * and runc, in the same run.
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/containers/main.js [--rounds 10] [--cold-rounds 3] [--json]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machineFacts } from "../../src/bench/machine.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import { pythonRegistry } from "../../testing/rig/python-registry.js";
import { coldStart, coldTitles } from "./cold.js";
import { Engine, type EngineName, engineNames } from "./engine.js";
import { lives, memory } from "./warm.js";

type Figures = Map<string, Map<EngineName, number[]>>;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "10" },
      "cold-rounds": { type: "string", default: "3" },
      json: { type: "boolean" },
    },
  });
  await using cleanup = new Cleanup();
  const newer = join(projectRoot, "build", "newer");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), newer]);
  const figures: Figures = new Map();
  const note = (name: EngineName, title: string, value: number): void => {
    const of = figures.get(title) ?? new Map<EngineName, number[]>();
    of.set(name, [...(of.get(name) ?? []), value]);
    figures.set(title, of);
  };
  await warm(cleanup, { rounds: Number(values.rounds), note });
  await cold(cleanup, { rounds: Number(values["cold-rounds"]), note });
  const facts = {
    ...(await machineFacts()),
    newer: (await command(join(newer, "bin", "containerd"), ["--version"])).stdout.trim(),
  };
  if (values.json === true) console.log(JSON.stringify({ facts, figures: plain(figures) }, null, 2));
  else print(facts, figures);
}

interface Part {
  readonly rounds: number;
  readonly note: (name: EngineName, title: string, value: number) => void;
}

/** All daemons at once, each round in another order. */
async function warm(cleanup: Cleanup, { rounds, note }: Part): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-containers-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const { host } = await oddRegistry(cleanup);
  const image = `${host}/odd:org`;
  await using engines = new Cleanup();
  const running: Engine[] = [];
  for (const name of engineNames) {
    const engine = await Engine.start(name, join(folder, name));
    engines.add(() => engine.stop());
    await engine.ctr(["images", "pull", "--plain-http", image]);
    // The first container pays for what each daemon loads once.
    await lives({ engine, image, note: () => undefined });
    running.push(engine);
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const engine of rotated(running, round)) {
      await lives({ engine, image, note: (title, value) => note(engine.name, title, value) });
    }
    console.error(`containers of a local image: round ${round + 1} of ${rounds}`);
  }
  for (const engine of running) {
    await memory({ engine, image, note: (title, value) => note(engine.name, title, value) });
  }
}

async function cold(cleanup: Cleanup, { rounds, note }: Part): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "lazuli-bench-cold-"));
  cleanup.add(() => rm(scratch, { recursive: true, force: true }));
  const registry = await pythonRegistry({ projectRoot, scratch });
  cleanup.add(() => registry.stop());
  for (let round = 0; round < rounds; round += 1) {
    for (const name of rotated(["containerd 2.1", "lazuli"] as const, round)) {
      const folder = join(scratch, `${name}-${round}`);
      const { outputSeconds, megabytes } = await coldStart({ name, folder, port: registry.port });
      note(name, coldTitles.output, outputSeconds);
      note(name, coldTitles.bytes, megabytes);
      console.error(`cold image: ${name}: ${outputSeconds.toFixed(2)} s`);
    }
  }
}

function rotated<Value>(values: readonly Value[], by: number): Value[] {
  const start = by % values.length;
  return [...values.slice(start), ...values.slice(0, start)];
}

function plain(figures: Figures) {
  return Object.fromEntries(
    [...figures].map(([title, of]) => [
      title,
      Object.fromEntries([...of].map(([name, values]) => [name, spreadOf(values)])),
    ]),
  );
}

function print(facts: Record<string, string>, figures: Figures): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(14)}${value}`);
  console.log("\nmedian (least to greatest); the ratio is lazuli's part of the other's, below 1 it is ahead");
  for (const [title, of] of figures) {
    const ours = spreadOf(of.get("lazuli")!);
    console.log(`\n${title}`);
    for (const [name, values] of of) {
      const { median, least, greatest } = spreadOf(values);
      const text = `${median.toPrecision(3)} (${least.toPrecision(3)} to ${greatest.toPrecision(3)})`;
      const ratio = name === "lazuli" ? "" : (ours.median / median).toFixed(2);
      console.log(`  ${name.padEnd(16)}${text.padEnd(32)}${ratio}`);
    }
  }
}

await main();
