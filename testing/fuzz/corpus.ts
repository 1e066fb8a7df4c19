import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { projectRoot } from "../rig/lab.js";

/** Inputs of a target that each reach something that no other does. */
export type Corpus = readonly Buffer[];

const folder = join(projectRoot, "test", "fuzz", "corpus");
const found = join(projectRoot, "test", "fuzz", "found");
/** Of a kept corpus: what is longer, or comes behind, is made again by fuzzing. */
const INPUT_BYTES_MAX = 12_288;
const CORPUS_BYTES_MAX = 20_480;

/** Inputs of test/fuzz/corpus/<target>.json, in base64, and those in test/fuzz/found that were once findings. */
export async function readCorpus(target: string): Promise<Corpus> {
  const texts = JSON.parse(
    await readFile(join(folder, `${target}.json`), "utf8").catch(() => "[]"),
  ) as string[];
  const names = (await readdir(found)).filter((name) => name.startsWith(`${target}.`));
  const findings = await Promise.all(names.map((name) => readFile(join(found, name))));
  return [...texts.map((text) => Buffer.from(text, "base64")), ...findings];
}

/** Keeps as many as there is room for, of all lengths. */
export async function writeCorpus(target: string, inputs: Corpus): Promise<void> {
  await mkdir(folder, { recursive: true });
  const sorted = inputs
    .filter(({ length }) => length <= INPUT_BYTES_MAX)
    .toSorted((one, other) => one.length - other.length || Buffer.compare(one, other));
  const bytes = sorted.reduce((sum, { length }) => sum + length, 0);
  const step = Math.max(1, Math.ceil(bytes / CORPUS_BYTES_MAX));
  const texts = sorted
    .filter((_, index) => index % step === 0)
    .map((input) => `  ${JSON.stringify(input.toString("base64"))}`);
  await writeFile(join(folder, `${target}.json`), `[\n${texts.join(",\n")}\n]\n`);
}
