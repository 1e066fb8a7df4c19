/**
 * Cancellation and shared work.
 *
 *     using deadline = linkSignals([signal], 30_000);
 *     await fetchManifest(reference, { signal: deadline.signal });
 */

export { type Deferred, deferred } from "./deferred.js";
export { KeyedQueue } from "./keyed-queue.js";
export { delay, type LinkedSignal, linkSignals, withSignal } from "./signals.js";
export { SingleFlight } from "./single-flight.js";
