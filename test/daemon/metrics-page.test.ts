import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import { watchBudgets } from "../../src/daemon/budget-metrics.js";
import { callMetrics } from "../../src/daemon/call-metrics.js";
import { measuredSnapshotter } from "../../src/daemon/measured-snapshotter.js";
import { Metrics } from "../../src/daemon/metrics.js";
import { feedMetrics, watchLayers, watchPlane, watchProcess } from "../../src/daemon/metrics-sources.js";
import { watchObjects } from "../../src/daemon/object-metrics.js";
import { watchRequests } from "../../src/daemon/replay-metrics.js";
import { watchTasks } from "../../src/daemon/task-metrics.js";
import type { PlaneStats } from "../../src/fuse/index.js";
import {
  type BudgetFigures,
  demandChannel,
  fetchedChannel,
  type SchedulerFigures,
} from "../../src/layer/index.js";
import type { Metadata } from "../../src/metadata/index.js";
import { log } from "../../src/observe/index.js";
import { requestChannel } from "../../src/registry/index.js";
import type { TaskManager } from "../../src/runtime/index.js";
import { fallbackChannel, type LazySnapshotter, preparedChannel } from "../../src/snapshotters/index.js";

const page = fileURLToPath(new URL("../../../docs/operations.md", import.meta.url));
const begin = /(<!-- metrics: begin[^\n]*-->\n)[\s\S]*?(<!-- metrics: end -->)/;

/** Everything that the daemon registers. */
function allMetrics(metrics: Metrics): Disposable {
  const feed = feedMetrics(metrics);
  const watched = watchProcess(metrics, "1.2.3");
  callMetrics(metrics);
  measuredSnapshotter({} as LazySnapshotter, metrics);
  watchObjects(metrics, {} as Metadata);
  watchTasks(metrics, { tasks: { list: () => [] } as unknown as TaskManager, runtimeOf: () => "" });
  watchLayers(metrics, { list: () => [] });
  watchRequests(metrics, { figures: {} as SchedulerFigures });
  watchPlane(metrics, { stats: () => ({ reads: 7, bytesServed: 4096 }) as PlaneStats });
  watchBudgets(metrics, {
    engine: {
      budgets: { space: {}, memory: {}, descriptors: {} } as BudgetFigures,
      figures: {} as SchedulerFigures,
    },
    registry: { figures: [], requestsPerHostMax: 16 },
  });
  return {
    [Symbol.dispose]: () => {
      feed[Symbol.dispose]();
      watched[Symbol.dispose]();
    },
  };
}

t.test("docs/operations.md lists every metric", async (t) => {
  const metrics = new Metrics();
  using _all = allMetrics(metrics);
  const rows = metrics.describe().map(({ name, type, labels, help }) => {
    const named = labels.length === 0 ? "" : ` {${labels.join(", ")}}`;
    return `| \`${name}\`${named} | ${type} | ${help} |\n`;
  });
  const table = `\n| metric | type | meaning |\n|---|---|---|\n${rows.join("")}\n`;
  const text = await readFile(page, "utf8");
  const wanted = text.replace(begin, (_whole, head: string, tail: string) => `${head}${table}${tail}`);
  if (process.env.LAZULI_UPDATE === "1") await writeFile(page, wanted);
  t.equal(await readFile(page, "utf8"), wanted);
});

t.test("feedMetrics() counts what the rooms tell, until it is disposed", async (t) => {
  const metrics = new Metrics();
  {
    using _all = allMetrics(metrics);
    preparedChannel.publish({ key: "k", digest: "d" });
    fallbackChannel.publish({ key: "k", reason: "no-toc-digest" });
    fetchedChannel.publish({ digest: "d", priority: "demand", bytes: 100 });
    demandChannel.publish({ digest: "d", outcome: "served", waitedMs: 30 });
    requestChannel.publish({
      kind: "blob",
      host: "registry.test",
      method: "GET",
      status: 206,
      bytes: 50,
      durationMs: 20,
      attempt: 1,
      reason: undefined,
    });
    log.debug("counted");
  }
  fetchedChannel.publish({ digest: "d", priority: "demand", bytes: 100 });
  const text = metrics.text();
  for (const line of [
    'lazuli_remote_prepares_total{outcome="lazy",reason=""} 1',
    'lazuli_remote_prepares_total{outcome="fallback",reason="no-toc-digest"} 1',
    'lazuli_fetched_bytes_total{priority="demand"} 100',
    'lazuli_demand_wait_seconds_bucket{outcome="served",le="0.05"} 1',
    'lazuli_registry_requests_total{host="registry.test",kind="blob",status="206"} 1',
    'lazuli_log_records_total{level="debug"} 1',
    'lazuli_fuse_messages_total{kind="reads"} 7',
    "lazuli_fuse_bytes_served_total 4096",
    'lazuli_build_info{version="1.2.3",node="',
  ]) {
    t.match(text, line);
  }
  t.equal(metrics.totals().lazuli_remote_prepares_total, 2);
});
