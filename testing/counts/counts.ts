import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Of one test or program. */
export interface Counts {
  /** The file's name, stable: a later run takes the place of an earlier one. */
  readonly name: string;
  /** The row's title. */
  readonly what: string;
  /** Printed in this order, e.g. `{ cases: 350, groups: 8 }`. */
  readonly figures: Readonly<Record<string, number>>;
}

/** dist/testing/counts/ lies three folders below the project's. */
export const countsFolder = fileURLToPath(new URL("../../../build/counts/", import.meta.url));

/** Writes build/counts/<name>.json, whole or not at all: tests run side by side. */
export async function recordCounts(counts: Counts, folder = countsFolder): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${counts.name}.json`);
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, `${JSON.stringify(counts, undefined, 2)}\n`);
  await rename(unfinished, path);
}

/** What is there, by name; none where no test has run. */
export async function readCounts(folder = countsFolder): Promise<Counts[]> {
  await mkdir(folder, { recursive: true });
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).sort();
  return await Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(folder, name), "utf8")) as Counts),
  );
}
