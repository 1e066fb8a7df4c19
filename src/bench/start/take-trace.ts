import { join } from "node:path";
import { openTraceStore, type StartTrace } from "../../traces/index.js";
import type { Engine } from "../engines/index.js";

/**
 * Ends what lazuli records of the start of a container, which is ready.
 * @returns undefined where nothing was recorded: no layer of it is lazy, or the time of recordings was over
 */
export async function takeTrace(
  { lazuli }: Engine,
  { id }: { readonly id: string },
): Promise<StartTrace | undefined> {
  if (lazuli === undefined) return undefined;
  await lazuli.run(["trace", "end", id]);
  const store = await openTraceStore({ folder: join(lazuli.root, "traces") });
  const found = store.list().find(({ key }) => key === id || key.endsWith(`/${id}`));
  return found === undefined ? undefined : await store.read(found.id);
}
