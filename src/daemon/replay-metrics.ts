import {
  fillJumpedChannel,
  type OpenLayerEngine,
  replayEndedChannel,
  replayMeasuredChannel,
} from "../layer/index.js";
import type { Metrics } from "./metrics.js";

const SHARE_BUCKETS = [0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99, 1];

/** Counts what replays fetched ahead of reads, and what that was good for. */
export function replayMetrics(metrics: Metrics): Disposable[] {
  const ended = metrics.counter({
    name: "lazuli_replays_total",
    help: "Plans of expected reads that were replayed, by why they ended.",
    labels: ["state"],
  });
  const bytes = metrics.counter({
    name: "lazuli_replay_bytes_total",
    help: "Bytes of replays that ended: decoded ones that were planned, present before, and stored; compressed ones that were requested.",
    labels: ["what"],
  });
  const touched = metrics.counter({
    name: "lazuli_replay_start_bytes_total",
    help: "Decoded bytes of traced starts behind a replay: touched, of those brought in time (hit) or while a read waited (late), and brought in vain (waste).",
    labels: ["what"],
  });
  const recall = metrics.histogram({
    name: "lazuli_replay_recall_ratio",
    help: "What a replay had brought in time of what a start touched and did not have.",
    buckets: SHARE_BUCKETS,
  });
  const precision = metrics.histogram({
    name: "lazuli_replay_precision_ratio",
    help: "What a start touched of what a replay brought.",
    buckets: SHARE_BUCKETS,
  });
  const jumps = metrics.counter({
    name: "lazuli_fill_jumps_total",
    help: "Layers that were fetched at full speed, since so much of them was read.",
  });
  return [
    replayEndedChannel.subscribe((facts) => {
      ended.add([facts.state]);
      bytes.add(["planned"], facts.plannedBytes);
      bytes.add(["present"], facts.presentBytes);
      bytes.add(["stored"], facts.storedBytes);
      bytes.add(["requested"], facts.requestedBytes);
    }),
    replayMeasuredChannel.subscribe((facts) => {
      touched.add(["touched"], facts.touchedBytes);
      touched.add(["hit"], facts.hitBytes);
      touched.add(["late"], facts.lateBytes);
      touched.add(["waste"], facts.wasteBytes);
      recall.observe([], facts.recall);
      precision.observe([], facts.precision);
    }),
    fillJumpedChannel.subscribe(() => jumps.add([])),
  ];
}

/** What the scheduler does now, read for each page. */
export function watchRequests(metrics: Metrics, engine: Pick<OpenLayerEngine, "figures">): void {
  metrics.watch({
    name: "lazuli_layer_requests",
    help: "Range requests for layers that run, by why they were made.",
    type: "gauge",
    labels: ["priority"],
    read: () => {
      const { demandRequests, prefetchRequests, backgroundRequests } = engine.figures;
      return [
        { labels: ["demand"], value: demandRequests },
        { labels: ["prefetch"], value: prefetchRequests },
        { labels: ["background"], value: backgroundRequests },
      ];
    },
  });
  metrics.watch({
    name: "lazuli_fill_requests_allowed",
    help: "Background requests that may run at once while no read waits; grows while they delay none.",
    type: "gauge",
    read: () => [{ value: engine.figures.fillRequestsAllowed }],
  });
}
