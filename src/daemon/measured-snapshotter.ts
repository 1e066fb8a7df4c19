import { LazuliError } from "../errors/index.js";
import type { LazySnapshotter } from "../snapshotters/index.js";
import type { Metrics } from "./metrics.js";

/** Seconds; most calls are one durable write, a lazy Prepare has a few round trips. */
const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The same snapshotter, with each call counted and timed. */
export function measuredSnapshotter(inner: LazySnapshotter, metrics: Metrics): LazySnapshotter {
  const calls = metrics.counter({
    name: "lazuli_snapshotter_calls_total",
    help: "Calls of containerd that were answered; a lazy Prepare is answered ALREADY_EXISTS.",
    labels: ["method", "code"],
  });
  const seconds = metrics.histogram({
    name: "lazuli_snapshotter_call_duration_seconds",
    help: "Time of calls of containerd.",
    labels: ["method"],
    buckets: CALL_BUCKETS,
  });
  const measured =
    <Words extends unknown[], Result>(method: string, call: (...words: Words) => Promise<Result>) =>
    async (...words: Words): Promise<Result> => {
      const startedAt = performance.now();
      let code = "OK";
      try {
        return await call(...words);
      } catch (thrown) {
        code = LazuliError.from(thrown).code;
        throw thrown;
      } finally {
        calls.add([method, code]);
        seconds.observe([method], (performance.now() - startedAt) / 1000);
      }
    };
  return {
    rows: () => inner.rows(),
    walk: (filters) => inner.walk(filters),
    close: () => inner.close(),
    stat: measured("stat", (name) => inner.stat(name)),
    update: measured("update", (request) => inner.update(request)),
    usage: measured("usage", (name, options) => inner.usage(name, options)),
    mounts: measured("mounts", (key, options) => inner.mounts(key, options)),
    prepare: measured("prepare", (request) => inner.prepare(request)),
    view: measured("view", (request) => inner.view(request)),
    commit: measured("commit", (request) => inner.commit(request)),
    remove: measured("remove", (name) => inner.remove(name)),
    cleanup: measured("cleanup", () => inner.cleanup()),
  };
}
