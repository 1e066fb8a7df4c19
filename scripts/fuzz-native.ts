/**
 * Fuzzes the native parsers for as long as wanted, under AddressSanitizer and UBSan: by libFuzzer where clang is installed.
 *
 *     node dist/scripts/fuzz-native.js [--target NAME] [--seconds N] [--keep]
 *
 * The options are those of scripts/fuzz.ts; `--keep` needs libFuzzer.
 */
import { parseArgs } from "node:util";
import { nativeTargets } from "../test/fuzz/native-targets.js";
import { recordCounts } from "../testing/counts/index.js";
import {
  buildNativeTargets,
  fuzzNative,
  mergeNative,
  readCorpus,
  writeCorpus,
} from "../testing/fuzz/index.js";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      target: { type: "string" },
      seconds: { type: "string", default: "600" },
      keep: { type: "boolean", default: false },
    },
  });
  const chosen = Object.entries(nativeTargets).filter(
    ([name]) => values.target === undefined || name === values.target,
  );
  if (chosen.length === 0) throw new Error(`Cannot fuzz "${values.target}": no target has this name`);
  const driver = await buildNativeTargets();
  const seconds = Math.max(1, Math.round(Number(values.seconds) / chosen.length));
  let [executions, findings] = [0, 0];
  for (const [name, { bytesMax, seeds }] of chosen) {
    const corpus = [...(await readCorpus(name)), ...(await seeds())].filter(
      ({ length }) => length <= bytesMax,
    );
    const result = await fuzzNative(name, { bytesMax, seconds, corpus });
    executions += result.executions;
    const isFound = result.finding !== undefined;
    if (isFound) findings += 1;
    console.log(`${name}: ${result.executions} executions${isFound ? `, a finding\n${result.finding}` : ""}`);
    if (values.keep && driver === "libFuzzer" && !isFound)
      await writeCorpus(name, await mergeNative(name, bytesMax));
  }
  console.log(`${executions} executions of ${chosen.length} targets by ${driver}: ${findings} findings`);
  if (values.target === undefined) {
    const figures = { targets: chosen.length, executions, seconds: seconds * chosen.length, findings };
    const what = `Fuzzing of native parsers by ${driver}, the last long run`;
    await recordCounts({ name: "fuzz-native", what, figures });
  }
  return findings === 0 ? 0 : 1;
}

process.exitCode = await main();
