import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../../async/index.js";
import { openTraceStore, type StartTrace } from "../../traces/index.js";
import type { Engine } from "../engines/index.js";

/** A recording takes 10 s unless somebody tells that the container is ready. */
const TRACE_MAX_MS = 15_000;
const LOOK_PAUSE_MS = 50;

/** What lazuli has recorded of the start of a container. Undefined: nothing, since no layer of it is lazy. */
export async function takeTrace(
  engine: Engine,
  { id, signal }: { readonly id: string; readonly signal: AbortSignal },
): Promise<StartTrace | undefined> {
  if (engine.lazuli === undefined) return undefined;
  const folder = join(engine.lazuli.root, "traces");
  for (let waitedMs = 0; waitedMs < TRACE_MAX_MS; waitedMs += LOOK_PAUSE_MS) {
    const names = await readdir(folder).catch(() => undefined); // It records nothing.
    if (names === undefined) return undefined;
    if (names.some((name) => name.endsWith(".json"))) {
      const store = await openTraceStore({ folder });
      const found = store.list().find(({ key }) => key.endsWith(id)) ?? store.list().at(-1);
      return found === undefined ? undefined : await store.read(found.id);
    }
    await delay(LOOK_PAUSE_MS, { signal });
  }
  return undefined;
}
