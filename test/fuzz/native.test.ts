import { readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { buildNativeTargets, fuzzNative, readCorpus } from "../../testing/fuzz/index.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { nativeTargets } from "./native-targets.js";

const seconds = Number(process.env["LAZULI_FUZZ_NATIVE_SECONDS"] ?? 12);

t.setTimeout(0);

t.test("native parsers read what a fuzzer makes, under AddressSanitizer and UBSan", async (t) => {
  const names = Object.keys(nativeTargets);
  const files = (await readdir(join(projectRoot, "native", "fuzz"))).filter((file) =>
    file.endsWith("_fuzz.cc"),
  );
  t.same(
    files.map((file) => `native-${file.replace("_fuzz.cc", "").replaceAll("_", "-")}`).sort(),
    names.toSorted(),
    "each target stands in the table",
  );
  const driver = await buildNativeTargets();
  const share = Math.max(1, Math.round(seconds / names.length));
  let executions = 0;
  for (const [name, { bytesMax, seeds }] of Object.entries(nativeTargets)) {
    const kept = await readCorpus(name);
    const corpus = [...kept, ...(await seeds())].filter(({ length }) => length <= bytesMax);
    t.ok(kept.length > 0, `${name} has a corpus`);
    const result = await fuzzNative(name, { bytesMax, seconds: share, corpus });
    t.equal(result.finding, undefined, name);
    t.ok(result.executions > corpus.length, `${name}: ${result.executions} executions by ${driver}`);
    executions += result.executions;
  }
  const figures = { targets: names.length, executions, seconds: share * names.length };
  await recordCounts({ name: "fuzz-native-short", what: "Fuzzing of native parsers, in npm test", figures });
});
