import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import t from "tap";
import { addSample, dd, ingest, makeGzipSample, makeRig, type Rig } from "./rig.js";

const UNIT = 32 * 1024;
const UNITS = 16;
const READS = 300;

/** Reads units in no order past the page cache, and prints how many were not as in the other file. */
const reader = `
const fs = require("node:fs");
const [path, wantedPath, unit, reads] = process.argv.slice(1);
const wanted = fs.readFileSync(wantedPath);
const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
const bytes = Buffer.alloc(Number(unit) * 2);
let wrong = 0;
for (let turn = 0; turn < Number(reads); turn += 1) {
  const at = Math.floor(Math.random() * (wanted.length - bytes.length));
  const got = fs.readSync(fd, bytes, 0, bytes.length, at);
  if (!wanted.subarray(at, at + got).equals(bytes.subarray(0, got)) || got === 0) wrong += 1;
}
console.log(wrong);
`;

async function wrongReads(path: string, wantedPath: string): Promise<string> {
  const child = spawn(process.execPath, ["-e", reader, path, wantedPath, String(UNIT), String(READS)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, "close");
  return output.trim();
}

/** What may be asked of a layer at any time. */
async function disturb({ plane }: Rig, turn: number): Promise<void> {
  const first = turn % UNITS;
  const last = Math.min(first + (turn % 5), UNITS - 1);
  plane.evict(1, first, last);
  if (turn % 3 === 0) await plane.punch(1, first, last);
  else if (turn % 3 === 1) await plane.verify(1, 0, UNITS - 1);
  else await plane.sync(1);
  if (turn % 7 === 0) plane.startTouches(1, 8);
  if (turn % 7 === 6) plane.stopTouches(1);
  plane.takeTouches(1);
  plane.waitingTouches(1);
  plane.lastUses(1);
  plane.limitWorkers(1 + (turn % 3));
  await setImmediate();
}

t.test("readers get a layer's bytes while its units go, are checked and come again", async (t) => {
  await using rig = await makeRig({ workerThreads: 3 });
  const sample = makeGzipSample(UNITS, UNIT);
  addSample(rig, 1, sample);
  const wantedPath = join(rig.folder, "wanted");
  writeFileSync(wantedPath, sample.data);
  rig.onMiss = ({ layer, firstUnit, lastUnit }) => void ingest(rig, layer, sample, { firstUnit, lastUnit });
  let isOver = false;
  const readers = Promise.all([1, 2].map(() => wrongReads(join(rig.mount, "1"), wantedPath))).finally(() => {
    isOver = true;
  });
  for (let turn = 0; !isOver; turn += 1) await disturb(rig, turn);
  t.same(await readers, ["0", "0"]);
  t.same(rig.damaged, []);
  t.same(rig.refused, []);
});

t.test("removeLayer() and close() end what is under way in a layer", async (t) => {
  await using rig = await makeRig({ workerThreads: 3 });
  const sample = makeGzipSample(UNITS, UNIT);
  const all = { firstUnit: 0, lastUnit: UNITS - 1 };
  const tasks: Promise<unknown>[] = [];
  for (let number = 1; number <= 8; number += 1) {
    addSample(rig, number, sample);
    rig.plane.startTouches(number, 8);
    const read = dd(join(rig.mount, String(number)), { offset: 0, length: UNIT, direct: true });
    await rig.until(() => rig.misses.some(({ layer }) => layer === number));
    t.equal(rig.plane.waitingTouches(number).length % 3, 0);
    tasks.push(
      ingest(rig, number, sample, all),
      rig.plane.verify(number, 0, UNITS - 1),
      rig.plane.punch(number, 0, UNITS - 1),
    );
    rig.plane.evict(number, 0, UNITS - 1);
    rig.plane.removeLayer(number);
    const { code, bytes } = await read;
    t.ok(code !== 0 || bytes.equals(sample.data.subarray(0, UNIT)), "failed, or was right");
    t.throws(() => rig.plane.takeTouches(number), { code: "ERR_OUT_OF_RANGE" });
  }
  addSample(rig, 9, sample);
  tasks.push(ingest(rig, 9, sample, all), rig.plane.punch(9, 0, UNITS - 1), rig.plane.sync(9));
  rig.plane.close();
  t.equal((await Promise.all(tasks)).length, 8 * 3 + 3);
});
