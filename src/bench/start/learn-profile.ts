import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../../async/index.js";
import { type Engine, PROFILES } from "../engines/index.js";

/** A recording takes 10 s unless somebody tells that the container is ready; then it is merged and written. */
const LEARN_MAX_MS = 20_000;
const LOOK_PAUSE_MS = 50;

/** What an engine has learnt from the start before, in a folder for other ones. Undefined: nothing came. */
export async function takeProfiles(
  engine: Engine,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { lazuli } = engine;
  if (lazuli === undefined) return undefined;
  const learnt = join(lazuli.root, PROFILES);
  for (let waitedMs = 0; waitedMs < LEARN_MAX_MS; waitedMs += LOOK_PAUSE_MS) {
    const names = await readdir(learnt).catch(() => []); // It is made with the first profile.
    if (names.some((name) => !name.endsWith(".new") && name.includes("."))) {
      await cp(learnt, folder, { recursive: true });
      return folder;
    }
    await delay(LOOK_PAUSE_MS, { signal });
  }
  return undefined;
}
