import { setMaxListeners } from "node:events";
import { linkSignals } from "../../async/index.js";
import {
  countersOf,
  type MeasureStartOptions,
  START_MAX_MS,
  type StartedContainer,
  type StartFigures,
  spentSince,
  startContainer,
} from "./measure-start.js";

/** As measureStart(), but with several containers of the image at once: ready are they when the last one is. */
export async function measureConcurrent(
  options: MeasureStartOptions,
  containers: number,
): Promise<StartFigures> {
  const { engine, cool } = options;
  using deadline = linkSignals([options.signal], START_MAX_MS);
  const { signal } = deadline;
  // Each of the containers has calls that listen to it.
  setMaxListeners(0, signal);
  const image = { ...options.image, signal };
  await cool();
  const before = await countersOf(options);
  const began = performance.now();
  await engine.pull(image);
  const pulled = performance.now();
  const found = await engine.client.image(image.reference, { signal });
  const starting = Array.from({ length: containers }, async (_, at) => {
    const own = { ...options, id: `${options.id}-${at}` };
    return await startContainer(own, { image: found, signal });
  });
  const settled = await Promise.allSettled(starting);
  const started = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  try {
    await Promise.all(starting);
    const readyAt = Math.max(...(await Promise.all(started.map(({ ready }) => ready))));
    const spent = await spentSince(before, options);
    const lastOf = (take: (one: StartedContainer) => number): number => Math.max(...started.map(take));
    const outputs = started.flatMap(({ watch }) => watch.firstOutputMs ?? []);
    const createdMs = lastOf((one) => one.createdMs);
    return {
      pullMs: pulled - began,
      createMs: createdMs - pulled,
      runMs: lastOf((one) => one.runningMs) - createdMs,
      firstOutputMs: outputs.length === 0 ? undefined : Math.min(...outputs) - began,
      readyMs: readyAt - began,
      ...spent,
    };
  } finally {
    await Promise.allSettled(started.map(async (one) => await one.remove()));
  }
}
