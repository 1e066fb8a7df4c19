import { traceDroppedChannel, traceSavedChannel } from "../traces/index.js";
import type { Metrics } from "./metrics.js";

/** Counts traces of starts until all of them are disposed. */
export function traceMetrics(metrics: Metrics): Disposable[] {
  const recorded = metrics.counter({
    name: "lazuli_traces_recorded_total",
    help: "Starts of containers whose trace was written.",
    labels: [],
  });
  const dropped = metrics.counter({
    name: "lazuli_traces_dropped_total",
    help: "Starts of containers without a trace: nothing was read through lazuli (empty), too many ran (busy), or the disk failed (unwritten).",
    labels: ["reason"],
  });
  return [
    traceSavedChannel.subscribe(() => recorded.add([])),
    traceDroppedChannel.subscribe(({ reason }) => dropped.add([reason])),
  ];
}
