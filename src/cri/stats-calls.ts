import type { StatsCalls } from "./contract.js";
import { MetricsSource, metricDescriptors } from "./metrics.js";
import { StatsSource, type StatsSourceOptions } from "./stats.js";
import { StatsCollector } from "./stats-collector.js";

export interface CriStatsOptions extends StatsSourceOptions {
  /** Between two looks at what containers and snapshots use. */
  readonly collectPeriodMs: number;
}

/** Statistics of one answer of a stream. */
const STREAMED_MAX = 100;

/** The statistics and metrics of CRI, collected in the background until this is disposed of. */
export function criStats(options: CriStatsOptions): StatsCalls & AsyncDisposable {
  const stats = new StatsSource(options);
  const metrics = new MetricsSource({ ...options, stats });
  const collector = new StatsCollector({
    periodMs: options.collectPeriodMs,
    works: [
      async (waiting) => await options.usages.collect(waiting),
      async (waiting) => await stats.sample(waiting),
    ],
  });
  return {
    containerStats: async ({ containerId }, waiting) => ({
      stats: await stats.container(containerId, waiting),
    }),
    listContainerStats: async ({ filter }, waiting) => ({
      stats: [...(await stats.containers(filter, waiting))],
    }),
    async *streamContainerStats({ filter }, waiting) {
      for (const some of parts(await stats.containers(filter, waiting))) yield { containerStats: some };
    },
    podSandboxStats: async ({ podSandboxId }, waiting) => ({ stats: await stats.pod(podSandboxId, waiting) }),
    listPodSandboxStats: async ({ filter }, waiting) => ({ stats: [...(await stats.pods(filter, waiting))] }),
    async *streamPodSandboxStats({ filter }, waiting) {
      for (const some of parts(await stats.pods(filter, waiting))) yield { podSandboxStats: some };
    },
    listMetricDescriptors: async () => ({ descriptors: [...metricDescriptors()] }),
    listPodSandboxMetrics: async (_request, waiting) => {
      const podMetrics = [];
      for await (const one of metrics.pods(waiting)) podMetrics.push(one);
      return { podMetrics };
    },
    async *streamPodSandboxMetrics(_request, waiting) {
      for await (const one of metrics.pods(waiting)) yield { podSandboxMetrics: [one] };
    },
    [Symbol.asyncDispose]: async () => await collector[Symbol.asyncDispose](),
  };
}

function* parts<Item>(all: readonly Item[]): Generator<Item[]> {
  for (let from = 0; from < all.length; from += STREAMED_MAX) yield all.slice(from, from + STREAMED_MAX);
}
