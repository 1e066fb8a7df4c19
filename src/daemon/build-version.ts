import { readFile } from "node:fs/promises";

/** The version in package.json, which lies beside dist/. */
export async function buildVersion(): Promise<string> {
  const text = await readFile(new URL("../../../package.json", import.meta.url), "utf8");
  return String((JSON.parse(text) as { version?: unknown }).version ?? "unknown");
}
