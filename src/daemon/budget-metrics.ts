import type { BudgetParts } from "./budget-rows.js";
import type { Metrics } from "./metrics.js";

/** Budgets and their use, read for each page. */
export function watchBudgets(metrics: Metrics, { engine, registry }: BudgetParts): void {
  const space = () => engine.budgets.space;
  const figures = [
    [
      "lazuli_disk_budget_bytes",
      "gauge",
      "Most bytes that layers may hold; 0: no limit.",
      () => space().limitBytes,
    ],
    ["lazuli_disk_used_bytes", "gauge", "Blocks of all files of all layers.", () => space().usedBytes],
    [
      "lazuli_disk_reserved_bytes",
      "gauge",
      "Decoded bytes that requests will bring.",
      () => space().reservedBytes,
    ],
    [
      "lazuli_evicted_bytes_total",
      "counter",
      "Decoded bytes that layers gave up.",
      () => space().evictedBytes,
    ],
    [
      "lazuli_eviction_rounds_total",
      "counter",
      "Times that bytes had to be given up.",
      () => space().evictionRounds,
    ],
    [
      "lazuli_disk_overdrafts_total",
      "counter",
      "Requests for readers that were let beyond the budget, since nothing could be given up.",
      () => space().overdrafts,
    ],
    [
      "lazuli_in_flight_budget_bytes",
      "gauge",
      "Bytes that requests may hold in memory now.",
      () => engine.budgets.memory.bytesInFlightMax,
    ],
    [
      "lazuli_in_flight_bytes",
      "gauge",
      "Bytes that requests hold in memory.",
      () => engine.figures.bytesInFlight,
    ],
    [
      "lazuli_descriptor_budget",
      "gauge",
      "Descriptors that the process may open.",
      () => engine.budgets.descriptors.limit,
    ],
  ] as const;
  for (const [name, type, help, read] of figures) {
    metrics.watch({ name, help, type, read: () => [{ value: read() }] });
  }
  metrics.watch({
    name: "lazuli_registry_host_requests",
    help: "Requests to a host now, by whether they run or wait for their turn.",
    type: "gauge",
    labels: ["host", "state"],
    read: () =>
      registry.figures.flatMap(({ origin, running, waiting }) => [
        { labels: [origin, "running"], value: running },
        { labels: [origin, "waiting"], value: waiting },
      ]),
  });
}
