import t from "tap";
import { Metrics } from "../../src/daemon/metrics.js";
import { replayMetrics, watchRequests } from "../../src/daemon/replay-metrics.js";
import {
  fillJumpedChannel,
  replayEndedChannel,
  replayMeasuredChannel,
  type SchedulerFigures,
} from "../../src/layer/index.js";

t.test("replayMetrics() counts what replays brought and what it was good for", async (t) => {
  const metrics = new Metrics();
  const feeds = replayMetrics(metrics);
  const figures = { demandRequests: 1, prefetchRequests: 2, backgroundRequests: 3, fillRequestsAllowed: 4 };
  watchRequests(metrics, { figures: figures as SchedulerFigures });
  const publish = () => {
    replayEndedChannel.publish({
      ...{ label: "profile a", state: "done", requests: 3, failures: 0 },
      ...{ plannedBytes: 100, presentBytes: 10, storedBytes: 90, requestedBytes: 40 },
    });
    replayMeasuredChannel.publish({
      ...{ label: "profile a", recall: 0.8, precision: 0.9 },
      ...{ touchedBytes: 100, hitBytes: 80, lateBytes: 1, wasteBytes: 9 },
    });
    fillJumpedChannel.publish({ digest: "d" });
  };
  publish();
  for (const feed of feeds) feed[Symbol.dispose]();
  publish();
  const lines = metrics.text().split("\n");
  for (const line of [
    'lazuli_replays_total{state="done"} 1',
    'lazuli_replay_bytes_total{what="requested"} 40',
    'lazuli_replay_start_bytes_total{what="waste"} 9',
    'lazuli_replay_recall_ratio_bucket{le="0.75"} 0',
    'lazuli_replay_recall_ratio_bucket{le="0.8"} 1',
    "lazuli_fill_jumps_total 1",
    'lazuli_layer_requests{priority="prefetch"} 2',
    "lazuli_fill_requests_allowed 4",
  ])
    t.ok(lines.includes(line), line);
});
