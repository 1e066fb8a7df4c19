import { foundChannel, learntChannel } from "../profiles/index.js";
import type { Metrics } from "./metrics.js";

/** Counts what is learnt and found, until it is disposed. What a replay brings is the engine's to measure. */
export function profileMetrics(metrics: Metrics): Disposable {
  const learnt = metrics.counter({
    name: "lazuli_profiles_learnt_total",
    help: "Traced starts that profiles were learnt from, or why not.",
    labels: ["outcome"],
  });
  const found = metrics.counter({
    name: "lazuli_profiles_found_total",
    help: "Images that were asked for, by what their profile was found.",
    labels: ["by"],
  });
  const subscriptions = [
    learntChannel.subscribe(({ outcome }) => learnt.add([outcome])),
    foundChannel.subscribe(({ by }) => found.add([by])),
  ];
  return {
    [Symbol.dispose]: () => {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
    },
  };
}
