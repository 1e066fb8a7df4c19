/**
 * Removes exactly what nothing reaches: a mark over the reference graph of the metadata's rows, two durable phases of
 * removal, and containerd's schedule for them. Writers never wait for a collection.
 *
 *     const collector = createCollector({ metadata, content, snapshotters, collectibles: [], now });
 *     const scheduler = createCollectionScheduler({ collector, metadata, ...config.gc });
 *     await scheduler.scheduleAndWait({ signal });
 */
export { collectedChannel, collectionFailedChannel } from "./channel.js";
export { type Collector, type CollectorOptions, createCollector } from "./collector.js";
export type * from "./contract.js";
export { parseGoDuration, parseRfc3339 } from "./go-time.js";
export { type LabelMeaning, readLabel, type Sort, type UsedCondition } from "./labels.js";
export type { CollectionLimits } from "./limits.js";
export {
  type CollectionScheduler,
  type CollectionSchedulerOptions,
  type CollectionTimer,
  createCollectionScheduler,
} from "./scheduler.js";
