import { readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { fuzzTarget, readCorpus } from "../../testing/fuzz/index.js";
import { projectRoot } from "../../testing/rig/lab.js";
import type { FuzzTarget } from "./target.js";
import { bytesMaxOf, targets } from "./targets.js";

const names = Object.keys(targets);
/** Shared by all targets. */
const seconds = Number(process.env["LAZULI_FUZZ_SECONDS"] ?? 60);
const LANES = 2;
/** The whole of the kept corpora. */
const CORPORA_BYTES_MAX = 1 << 20;

t.setTimeout(0);

t.test("each target stands in the table", async (t) => {
  const files = await readdir(join(projectRoot, "test", "fuzz", "targets"));
  t.same(files.map((file) => file.replace(/\.ts$/, "")).sort(), names.toSorted());
});

let inputs = 0;

t.test("each parser takes or refuses its corpus, and what was found once", async (t) => {
  let bytes = 0;
  for (const name of names) {
    const { fuzz } = (await import(`./targets/${name}.js`)) as { readonly fuzz: FuzzTarget };
    const corpus = await readCorpus(name);
    t.ok(corpus.length > 0, `${name} has a corpus`);
    for (const input of corpus) {
      bytes += input.length;
      inputs += 1;
      try {
        await fuzz(input);
      } catch (thrown) {
        t.fail(`${name}: ${(thrown as Error).stack}\n${input.toString("base64")}`);
      }
    }
  }
  t.ok(bytes < CORPORA_BYTES_MAX, `${inputs} inputs, ${bytes} bytes`);
});

t.test("each parser only throws typed errors, whatever a fuzzer finds", async (t) => {
  const waiting = [...names];
  const share = Math.max(1, Math.round(seconds / names.length));
  let executions = 0;
  const lane = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const result = await fuzzTarget(name, {
        isLate: targets[name]?.isLate === true,
        bytesMax: bytesMaxOf(name),
        seconds: share,
        corpus: await readCorpus(name),
      });
      t.equal(result.finding, undefined, name);
      t.ok(result.executions > 0, `${name}: ${result.executions} executions`);
      executions += result.executions;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  t.comment(`${executions} executions`);
  const figures = { targets: names.length, inputs, executions, seconds: share * names.length };
  await recordCounts({
    name: "fuzz-short",
    what: "Fuzzing of parsers, guided by coverage, in npm test",
    figures,
  });
});
