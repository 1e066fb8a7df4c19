/**
 * Fuzzes the parsers for as long as wanted, guided by coverage, and keeps what breaks one in test/fuzz/found.
 *
 *     node dist/scripts/fuzz.js [--target NAME] [--seconds N] [--keep]
 *
 * The seconds are shared by the targets (test/fuzz/targets.ts). What reaches something new stays in build/fuzz, from where
 * the next run goes on; `--keep` writes a part of it of all lengths to test/fuzz/corpus, for the tests.
 */
import { parseArgs } from "node:util";
import { seedsOf } from "../test/fuzz/seeds.js";
import { bytesMaxOf, targets } from "../test/fuzz/targets.js";
import { recordCounts } from "../testing/counts/index.js";
import { fuzzTarget, keptInputs, readCorpus, writeCorpus } from "../testing/fuzz/index.js";

/** Processes at a time. */
const LANES = 2;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      target: { type: "string" },
      seconds: { type: "string", default: "600" },
      keep: { type: "boolean", default: false },
    },
  });
  const names = Object.keys(targets).filter((name) => values.target === undefined || name === values.target);
  if (names.length === 0) throw new Error(`Cannot fuzz "${values.target}": no target has this name`);
  const seconds = Math.max(1, Math.round(Number(values.seconds) / names.length));
  const waiting = [...names];
  let [executions, findings] = [0, 0];
  const lane = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const facts = { isLate: targets[name]?.isLate === true, bytesMax: bytesMaxOf(name) };
      const corpus = [...(await readCorpus(name)), ...(await seedsOf(name))];
      const result = await fuzzTarget(name, { ...facts, seconds, corpus });
      executions += result.executions;
      if (result.finding !== undefined) findings += 1;
      console.log(
        `${name}: ${result.executions} executions${result.finding === undefined ? "" : ", a finding"}`,
      );
      if (result.finding !== undefined) console.log(result.finding);
      else if (values.keep) await writeCorpus(name, await keptInputs(name));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  console.log(`${executions} executions of ${names.length} targets: ${findings} findings`);
  if (values.target === undefined) {
    const figures = { targets: names.length, executions, seconds: seconds * names.length, findings };
    await recordCounts({
      name: "fuzz",
      what: "Fuzzing of parsers, guided by coverage, the last long run",
      figures,
    });
  }
  return findings === 0 ? 0 : 1;
}

process.exitCode = await main();
