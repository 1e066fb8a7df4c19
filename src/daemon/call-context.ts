import { AsyncLocalStorage } from "node:async_hooks";
import type { NamespacedSnapshotter, SnapshotInfo, Snapshotter } from "../snapshotters/index.js";

/** Whose call runs. */
export interface CallContext {
  readonly namespace?: string | undefined;
  readonly lease?: string | undefined;
}

const calls = new AsyncLocalStorage<CallContext>();

/** Namespace and lease of the client whose call is answered; empty for work of the daemon's own, e.g. a sweep. */
export function currentCall(): CallContext {
  return calls.getStore() ?? {};
}

/** Runs work in the name of a client. */
export function inCall<Result>(context: CallContext, work: () => Result): Result {
  return calls.run(context, work);
}

/** The same snapshotter; what lies below it learns from `currentCall` who calls. */
export function withCallContext(inner: NamespacedSnapshotter): NamespacedSnapshotter {
  return {
    for: (context) => calledBy(inner.for(context), context),
    sweep: (options) => inner.sweep(options),
  };
}

function calledBy(inner: Snapshotter, context: CallContext): Snapshotter {
  const inContext =
    <Words extends unknown[], Result>(call: (...words: Words) => Promise<Result>) =>
    (...words: Words): Promise<Result> =>
      calls.run(context, call, ...words);
  return {
    stat: inContext((name) => inner.stat(name)),
    update: inContext((request) => inner.update(request)),
    usage: inContext((name, options) => inner.usage(name, options)),
    mounts: inContext((key, options) => inner.mounts(key, options)),
    prepare: inContext((request) => inner.prepare(request)),
    view: inContext((request) => inner.view(request)),
    commit: inContext((request) => inner.commit(request)),
    remove: inContext((name) => inner.remove(name)),
    walk: (filters) => walkedBy(inner.walk(filters), context),
    cleanup: inContext(() => inner.cleanup()),
    close: () => inner.close(),
  };
}

/** A generator runs in the context of whoever asks for the next value. */
async function* walkedBy(
  infos: AsyncIterable<SnapshotInfo>,
  context: CallContext,
): AsyncIterable<SnapshotInfo> {
  const iterator = infos[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await calls.run(context, () => iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}
