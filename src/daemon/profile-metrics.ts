import { foundChannel, learntChannel } from "../profiles/index.js";
import type { Metrics } from "./metrics.js";

/** Counts what is learnt and found, until all of them are disposed. What a replay brings is the engine's to measure. */
export function profileMetrics(metrics: Metrics): Disposable[] {
  const learnt = metrics.counter({
    name: "lazuli_profiles_learnt_total",
    help: "Traced starts that profiles were learnt from, or why not.",
    labels: ["outcome"],
  });
  const found = metrics.counter({
    name: "lazuli_profiles_found_total",
    help: "Images that a profile was looked for, by what it was found.",
    labels: ["by"],
  });
  return [
    learntChannel.subscribe(({ outcome }) => learnt.add([outcome])),
    foundChannel.subscribe(({ by }) => found.add([by])),
  ];
}
