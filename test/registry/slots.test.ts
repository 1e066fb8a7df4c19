import t from "tap";
import { Slots } from "../../src/registry/slots.js";

/** A clock that goes on when it is told, with the waits that were asked for. */
function clockRig() {
  let now = 0;
  const waits: { readonly at: number; readonly go: () => void }[] = [];
  return {
    clock: {
      monotonicMs: () => now,
      epochMs: () => now,
      random: () => 0,
      delay: (milliseconds: number) =>
        new Promise<void>((resolve) => waits.push({ at: now + milliseconds, go: resolve })),
    },
    async advance(milliseconds: number): Promise<void> {
      now += milliseconds;
      for (const wait of waits.filter(({ at }) => at <= now)) {
        waits.splice(waits.indexOf(wait), 1);
        wait.go();
      }
      await settled();
    },
  };
}

async function settled(): Promise<void> {
  for (let round = 0; round < 3; round += 1) await new Promise((resolve) => setImmediate(resolve));
}

t.test("take() gives places by priority, then in the order of asking", async (t) => {
  const slots = new Slots({ slotsMax: 1, perSecondMax: 0, clock: clockRig().clock });
  let free = await slots.take(undefined);
  const order: string[] = [];
  const places = new Map<string, () => void>();
  const ask = (name: string, priority: "demand" | "pull" | "prefetch" | "background"): void =>
    void slots.take(undefined, priority).then((place) => {
      order.push(name);
      places.set(name, place);
    });
  ask("fill", "background");
  ask("ahead", "prefetch");
  ask("pull", "pull");
  ask("read 1", "demand");
  ask("read 2", "demand");
  t.same(slots.figures, { running: 1, waiting: 5 });
  for (let turn = 0; turn < 5; turn += 1) {
    free();
    free();
    await settled();
    free = places.get(order.at(-1)!)!;
  }
  t.same(order, ["read 1", "read 2", "pull", "ahead", "fill"]);
  free();
  t.same(slots.figures, { running: 0, waiting: 0 });
});

t.test("take() lets so many requests begin a second, and a read before others", async (t) => {
  const { clock, advance } = clockRig();
  const slots = new Slots({ slotsMax: 100, perSecondMax: 4, clock });
  const begun: string[] = [];
  const ask = (name: string, priority: "demand" | "background"): void =>
    void slots.take(undefined, priority).then(() => begun.push(name));
  for (let index = 0; index < 8; index += 1) ask(`fill ${index}`, "background");
  await settled();
  t.equal(begun.length, 4, "a second's worth at once");
  ask("read", "demand");
  await advance(249);
  t.equal(begun.length, 4);
  await advance(2);
  t.same(begun.slice(4), ["read"]);
  await advance(251);
  t.equal(begun.length, 6);
  for (let second = 0; second < 8; second += 1) await advance(251);
  t.equal(begun.length, 9);
});

t.test("take() lets who gives up leave the line", async (t) => {
  const slots = new Slots({ slotsMax: 1, perSecondMax: 0, clock: clockRig().clock });
  const free = await slots.take(undefined);
  const controller = new AbortController();
  const waiting = slots.take(controller.signal, "demand");
  controller.abort(new Error("gone"));
  await t.rejects(waiting, { message: "gone" });
  t.same(slots.figures, { running: 1, waiting: 0 });
  free();
  (await slots.take(AbortSignal.timeout(1000)))();
  await t.rejects(slots.take(AbortSignal.abort(new Error("before"))), { message: "before" });
});
