import { rm } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import {
  type ReadersResult,
  readersFigures,
  stallsAfter,
  startReaders,
} from "../../testing/crash/readers.js";
import { Supervisor } from "../../testing/crash/supervisor.js";
import {
  keeperPid,
  mountsBelow,
  type TakeoverRig,
  takeoverRig,
  untilEnded,
  untilLogged,
} from "../../testing/crash/takeover-rig.js";
import { Cleanup } from "../../testing/rig/cleanup.js";

t.setTimeout(0);

const KILLS = Number(process.env.LAZULI_KILLS ?? 20);
const SEED = Number(process.env.LAZULI_SEED ?? 20260821);
const READERS = 50;
const LAZY_READERS = 20;
/** The registry takes so long for each request: bytes are missing through many kills. */
const REQUEST_DELAY_MS = 40;
/** A kill comes so long after a start, at most: before the server answers, while it does, and in between. */
const LIFE_MAX_MS = 700;

/** The same numbers from 0 to 1 for the same seed (a linear congruential generator). */
function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** In whole milliseconds: from a kill to the first answer of a read that waited, and the longest read of all. */
function stallFigures(result: ReadersResult, moments: readonly number[]) {
  const stalls = stallsAfter(moments, result);
  const at = (share: number): number => Math.round(stalls[Math.floor((stalls.length - 1) * share)] ?? 0);
  return {
    "ms median stall": at(0.5),
    "ms p99 stall": at(0.99),
    "ms longest stall": at(1),
    "ms longest read": Math.round(result.longestMs),
  };
}

/** Files of a layer that is here, and of one that comes slowly. */
async function fiftyReaders(rig: TakeoverRig) {
  const cached = await rig.mountLayer({ name: "cached", sizes: Array(10).fill(1_500_000) });
  const lazy = await rig.mountLayer({ name: "lazy", sizes: Array(LAZY_READERS * 3).fill(260_000) });
  const warm = await startReaders({
    listFile: join(rig.folder, "warm.json"),
    threads: cached.files.map((file) => [{ ...file, mode: "all" }]),
  });
  t.match(await warm.stop(), { failed: [], wrong: [] }, "all is read once");
  rig.registry.script({ path: /blobs/, act: { delayMs: REQUEST_DELAY_MS } });
  const threads = Array.from({ length: READERS }, (_, reader) => {
    const own = cached.files[reader % cached.files.length]!;
    const missing = lazy.files.filter((_file, index) => index % LAZY_READERS === reader);
    return [
      ...missing.map((file) => ({ ...file, mode: "once" as const })),
      { ...own, mode: "again" as const },
    ];
  });
  return await startReaders({ listFile: join(rig.folder, "readers.json"), threads });
}

for (const [program, mount, kills] of [
  ["snapshotter", "erofs", KILLS],
  ["daemon", "erofs", Math.ceil(KILLS / 4)],
  ["snapshotter", "fuse-tree", Math.ceil(KILLS / 4)],
] as const) {
  t.test(`${kills} SIGKILLs of lazuli ${program} fail no read of ${READERS}: ${mount}`, async (t) => {
    t.comment(`seed ${SEED}`);
    const random = numbersFrom(SEED);
    await using cleanup = new Cleanup();
    const rig = await takeoverRig(cleanup, { program, layer: `mount = "${mount}"` });
    const server = new Supervisor({ ...rig, logFile: join(rig.folder, "lazuli.log") });
    cleanup.add(() => server.stop());
    await server.ready();
    const readers = await fiftyReaders(rig);
    const moments: number[] = [];
    for (let kill = 0; kill < kills; kill += 1) {
      // Every second one is killed while it starts.
      if (kill % 2 === 0) await server.ready();
      await delay(random() * LIFE_MAX_MS);
      moments.push(Date.now());
      await server.end("SIGKILL");
    }
    await server.ready();
    await delay(LIFE_MAX_MS);
    const result = await readers.stop();
    t.equal(server.starts, kills + 1);
    await recordCounts({
      name: `takeover-${program}-${mount}`,
      what: `Kills of \`lazuli ${program}\` under readers (${mount})`,
      figures: {
        kills,
        ...readersFigures(READERS, result),
        ...stallFigures(result, moments),
      },
    });
    t.same(result.failed, [], "failed reads");
    t.same(result.wrong, [], "wrong bytes");
    t.equal(result.stuck, 0, "stuck readers");
    t.ok(result.files > READERS, "each reader has read files");
    t.comment(JSON.stringify({ files: result.files, ...stallFigures(result, moments) }));
  });
}

t.test("SIGTERM and --takeover fail no read, and the new server has the mounts", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup);
  const server = new Supervisor({ ...rig, logFile: join(rig.folder, "lazuli.log") });
  cleanup.add(() => server.stop());
  await server.ready();
  const readers = await fiftyReaders(rig);
  const moments: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    await delay(LIFE_MAX_MS);
    moments.push(Date.now());
    await server.end("SIGTERM");
    await server.ready();
  }
  for (let round = 0; round < 2; round += 1) {
    await delay(LIFE_MAX_MS);
    const old = server.pid;
    moments.push(Date.now());
    const next = server.spawn([...rig.words, "--takeover"]);
    await server.replace(next);
    await server.ready();
    t.not(server.pid, old);
  }
  await delay(LIFE_MAX_MS);
  const result = await readers.stop();
  t.same(result.failed, [], "failed reads");
  t.same(result.wrong, [], "wrong bytes");
  t.equal(result.stuck, 0, "stuck readers");
  t.comment(JSON.stringify({ files: result.files, ...stallFigures(result, moments) }));
});

t.test("a keeper that is killed is replaced; with the server, layers are mounted anew", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup);
  const server = new Supervisor({ ...rig, logFile: join(rig.folder, "lazuli.log") });
  cleanup.add(() => server.stop());
  await server.ready();
  const layer = await rig.mountLayer({ name: "one", sizes: [200_000, 300_000] });
  const read = async (files = layer.files): Promise<ReadersResult> => {
    const listFile = join(rig.folder, "one.json");
    const all = files.map((file) => ({ ...file, mode: "all" as const }));
    return await (await startReaders({ listFile, threads: [all] })).stop();
  };
  t.match(await read(), { files: 2, failed: [], wrong: [] });

  const first = await keeperPid(rig.state);
  process.kill(first, "SIGTERM");
  process.kill(first, "SIGKILL");
  const log = await untilLogged(rig, /Stored the FUSE sessions again/);
  t.notMatch(log, /Cannot keep/);
  await server.end("SIGKILL");
  await server.ready();
  t.match(await read(), { files: 2, failed: [], wrong: [] }, "the new keeper had the mount");

  process.kill(server.pid, "SIGSTOP");
  process.kill(await keeperPid(rig.state), "SIGKILL");
  await server.end("SIGKILL");
  await server.ready();
  const { failed } = await read();
  t.equal(failed.length, 2, "who had the old mount gets errors");
  t.ok(
    failed.every((text) => /Input\/output error|not connected/.test(text)),
    failed.join(),
  );
  const again = await rig.mountSnapshot({ name: "again", parent: "one" });
  const files = layer.files.map((file) => ({ ...file, path: file.path.replace(layer.folder, again.folder) }));
  t.match(await read(files), { files: 2, failed: [], wrong: [] }, "the next user gets a new mount");
});

t.test("a stop takes unused mounts away, and a keeper that holds nothing ends with its folder", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup);
  const server = new Supervisor({ ...rig, logFile: join(rig.folder, "lazuli.log") });
  cleanup.add(() => server.stop());
  await server.ready();
  t.match(await mountsBelow(rig.state), [join(rig.state, "data")]);
  const keeper = await keeperPid(rig.state);
  await server.stop();
  t.same(await mountsBelow(rig.state), []);
  await rm(rig.state, { recursive: true });
  await untilEnded(keeper);
  t.pass("the keeper ended");
});
