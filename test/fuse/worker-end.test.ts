import { closeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import t from "tap";
import { binding } from "./rig.js";

const CALLS = 8;

/** A thread that runs `start(binding, input)` and says when it has begun what it does. */
async function begun(start: string, input: unknown): Promise<Worker> {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.fuse).then(({ loadBinding }) => {
      (${start})(loadBinding(), workerData.input);
      parentPort.postMessage("begun");
    });`;
  const fuse = new URL("../../src/fuse/index.js", import.meta.url).href;
  const worker = new Worker(source, { eval: true, workerData: { fuse, input } });
  await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  return worker;
}

t.test("a worker ends while its calls wait in threads, which find it gone", async (t) => {
  for (let turn = 0; turn < 3; turn += 1) {
    const pairs = Array.from({ length: CALLS }, () => binding.socketPair());
    const start = "(binding, fds) => { for (const fd of fds) binding.receiveFds(fd, 100, 1); }";
    const worker = await begun(
      start,
      pairs.map(([one]) => one),
    );
    t.equal(await worker.terminate(), 1);
    for (const [, other] of pairs) binding.sendFds(other, Buffer.from("late"), []);
    // Time for the threads to wake and find nobody to tell.
    await setTimeout(20);
    for (const pair of pairs) for (const fd of pair) closeSync(fd);
  }
});

t.test("a worker ends while its frames are coded", async (t) => {
  for (let turn = 0; turn < 6; turn += 1) {
    const start =
      "(binding, count) => { for (let n = 0; n < count; n++) binding.compressFrame(Buffer.alloc(1 << 20, n), 9); }";
    const worker = await begun(start, CALLS);
    t.equal(await worker.terminate(), 1);
  }
  t.equal((await binding.compressFrame(Buffer.alloc(10), 3)).length > 0, true);
});
