import t from "tap";
import {
  type CollectionSchedulerOptions,
  type CollectionStats,
  type CollectionTimer,
  collectionFailedChannel,
  createCollectionScheduler,
} from "../../src/gc/index.js";
import type { Change, ChangeListener } from "../../src/metadata/index.js";

/** Time that goes on by hand. */
class ManualTimer implements CollectionTimer {
  #nowMs = 0;
  #alarms: { atMs: number; call: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, call: () => void): Disposable {
    const alarm = { atMs: this.#nowMs + delayMs, call };
    this.#alarms.push(alarm);
    return {
      [Symbol.dispose]: () => {
        this.#alarms = this.#alarms.filter((other) => other !== alarm);
      },
    };
  }

  get alarmsMs(): number[] {
    return this.#alarms.map(({ atMs }) => atMs - this.#nowMs);
  }

  async advance(milliseconds: number): Promise<void> {
    this.#nowMs += milliseconds;
    const due = this.#alarms.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#alarms = this.#alarms.filter((alarm) => !due.includes(alarm));
    for (const { call } of due) call();
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let turns = 0; turns < 3; turns += 1) await new Promise((resolve) => setImmediate(resolve));
}

const change: Change = { table: "images", key: ["n", "i"], record: Buffer.alloc(1) };
const deletion: Change = { table: "images", key: ["n", "i"], record: undefined };
const own: Change = { table: "contents", key: ["n", "own"], record: undefined };

function rig(options: Partial<CollectionSchedulerOptions> = {}) {
  const timer = new ManualTimer();
  const listeners = new Set<ChangeListener>();
  let collections = 0;
  let collect = async (_signal: AbortSignal | undefined): Promise<CollectionStats> => stats(10);
  const scheduler = createCollectionScheduler({
    metadata: {
      observe: (listener) => {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
    },
    collector: {
      collect: async ({ signal } = {}) => {
        collections += 1;
        return await collect(signal);
      },
      isOwn: (changes) => changes.includes(own),
    },
    pauseThreshold: 0.02,
    deletionThreshold: 0,
    mutationThreshold: 3,
    scheduleDelayMs: 0,
    startupDelayMs: 100,
    timer,
    ...options,
  });
  return {
    timer,
    scheduler,
    collections: () => collections,
    setCollect: (next: typeof collect) => {
      collect = next;
    },
    change: (...changes: Change[]) => {
      for (const listener of listeners) listener(changes);
    },
    listeners,
  };
}

function stats(durationMs: number): CollectionStats {
  return { removed: {}, bytesFreed: 0, nodesSeen: 1, durationMs };
}

t.test(
  "createCollectionScheduler() collects once after the startup delay, then waits for changes",
  async (t) => {
    const { timer, collections, change: write } = rig();
    await timer.advance(99);
    t.equal(collections(), 0);
    await timer.advance(1);
    t.equal(collections(), 1);
    t.same(timer.alarmsMs, [490], "a collection of 10 ms may come every 500 ms with 2 %");
    await timer.advance(490);
    t.equal(collections(), 1, "nothing has changed");
    t.same(timer.alarmsMs, [], "and nothing wakes up for nothing");
    write(change);
    write(change);
    await timer.advance(10_000);
    t.equal(collections(), 1, "fewer changes than the threshold");
    write(change);
    await timer.advance(0);
    t.equal(collections(), 2);
    write(deletion);
    await timer.advance(489);
    t.equal(collections(), 2, "the pause holds");
    await timer.advance(1);
    t.equal(collections(), 3, "a deletion is enough");
  },
);

t.test("createCollectionScheduler() leaves its own removals and other tables out of the count", async (t) => {
  const { timer, collections, change: write } = rig();
  await timer.advance(100);
  await timer.advance(490);
  for (let times = 0; times < 10; times += 1) {
    write(own);
    write({ table: "snapshots", key: ["s"], record: undefined });
  }
  await timer.advance(10_000);
  t.equal(collections(), 1);
});

t.test("createCollectionScheduler() does not wait for the pause at the deletion threshold", async (t) => {
  const { timer, collections, change: write } = rig({ deletionThreshold: 2, scheduleDelayMs: 5 });
  await timer.advance(100);
  write(deletion);
  await timer.advance(5);
  t.equal(collections(), 1);
  write(deletion);
  t.same(timer.alarmsMs, [5]);
  await timer.advance(5);
  t.equal(collections(), 2);
});

t.test("scheduleAndWait() resolves with a collection that began after the call", async (t) => {
  const { timer, scheduler, collections, setCollect } = rig();
  const endings: ((stats: CollectionStats) => void)[] = [];
  setCollect(async () => await new Promise((resolve) => endings.push(resolve)));
  const first = scheduler.scheduleAndWait({});
  await timer.advance(0);
  t.equal(collections(), 1, "before the startup delay is over");
  const second = scheduler.scheduleAndWait({});
  endings[0]!(stats(1));
  t.equal((await first).durationMs, 1);
  await settled();
  await timer.advance(0);
  t.equal(collections(), 2, "the running one was too early for the second");
  endings[1]!(stats(2));
  t.equal((await second).durationMs, 2);
  const controller = new AbortController();
  const third = scheduler.scheduleAndWait({ signal: controller.signal });
  controller.abort(new Error("enough"));
  await t.rejects(third, { message: "enough" });
});

t.test(
  "createCollectionScheduler() tries again a second later after a failure, and tells who waits",
  async (t) => {
    const { timer, scheduler, collections, setCollect, change: write } = rig();
    const failures: unknown[] = [];
    using _failures = collectionFailedChannel.subscribe((facts) => failures.push(facts));
    setCollect(async () => {
      throw new Error("no disk");
    });
    write(deletion);
    const waiting = scheduler.scheduleAndWait({});
    waiting.catch(() => undefined);
    await timer.advance(0);
    await t.rejects(waiting, { message: "no disk" });
    t.match(failures, [{ error: "no disk", retryMs: 2000 }]);
    setCollect(async () => stats(10));
    await timer.advance(1999);
    t.equal(collections(), 1);
    await timer.advance(1);
    t.equal(collections(), 2, "the deletion still counts");
  },
);

t.test("close() ends the running collection, tells who waits and stays closed", async (t) => {
  const { timer, scheduler, setCollect, listeners, collections } = rig();
  setCollect(
    async (signal) =>
      await new Promise((_, reject) =>
        signal!.addEventListener("abort", () => reject(signal!.reason), { once: true }),
      ),
  );
  const waiting = scheduler.scheduleAndWait({});
  waiting.catch(() => undefined);
  await timer.advance(0);
  const later = scheduler.scheduleAndWait({});
  later.catch(() => undefined);
  await scheduler.close();
  await t.rejects(waiting, { code: "UNAVAILABLE", reason: "gc-closed" });
  await t.rejects(later, { code: "UNAVAILABLE" });
  await t.rejects(scheduler.scheduleAndWait({}), { code: "UNAVAILABLE" });
  t.equal(listeners.size, 0);
  await timer.advance(10_000);
  t.equal(collections(), 1);
  await scheduler.close();
});
