import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** What an earlier run has noted when it was done; undefined: none was. */
export async function readRecord<T>(path: string): Promise<T | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined); // It is not there.
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

export async function writeRecord(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, JSON.stringify(value));
  await rename(`${path}.new`, path);
}
