import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { delay, linkSignals } from "../../src/async/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { readersFigures, startReaders } from "../../testing/crash/readers.js";
import { Supervisor } from "../../testing/crash/supervisor.js";
import { addLazyLayer, keeperPid, type TakeoverRig, takeoverRig } from "../../testing/crash/takeover-rig.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { Cleanup } from "../../testing/rig/cleanup.js";

t.setTimeout(0);

const CONTROLLER = "/sys/fs/cgroup/memory";
const KILLS = Number(process.env.LAZULI_OOM_KILLS ?? 2);
const READERS = 12;
/** Of the slow layer, for each reader. */
const FILES = 5;
/** The registry takes so long for each request: bytes are missing through all kills. */
const REQUEST_DELAY_MS = 60;
/** The limit comes down by so much at once, until the kernel finds nothing more to take away. */
const STEP_BYTES = 2 * 1024 * 1024;
/** Rounds of calls that need memory, until the server is killed in one. */
const CALLS_MAX = 50;
const CALLS_AT_ONCE = 4;
/** Files of a layer, and bytes of each: what it takes to read its table of contents. */
const FILES_ASKED = 600;
const FILE_BYTES = 200;
const TRIES = 500;
const PAUSE_MS = 10;

/** A group of the memory controller (cgroup v1) for one server and its keeper. */
class MemoryGroup {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(cleanup: Cleanup): Promise<MemoryGroup> {
    const folder = join(CONTROLLER, `lazuli-oom-${process.pid}`);
    await mkdir(folder);
    const group = new MemoryGroup(folder);
    cleanup.add(() => group.#remove());
    await group.lift();
    return group;
  }

  /** Program and arguments that run in the group. */
  around(words: readonly string[]): readonly string[] {
    const script = `echo $$ > '${this.#folder}/cgroup.procs' && exec "$@"`;
    return ["/bin/sh", "-c", script, "sh", ...words];
  }

  async kills(): Promise<number> {
    const text = await this.#read("memory.oom_control");
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  /** Waits for the next kill. */
  async killed(options: { readonly signal: AbortSignal }): Promise<void> {
    const before = await this.kills();
    while ((await this.kills()) === before) await delay(PAUSE_MS, options);
  }

  /** As low as the kernel takes it: what runs in the group may have next to nothing more. */
  async tighten(options: { readonly until: () => boolean }): Promise<void> {
    for (let limit = await this.#usedBytes(); limit > 0 && !options.until(); limit -= STEP_BYTES) {
      try {
        await writeFile(join(this.#folder, "memory.limit_in_bytes"), String(limit));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== "EBUSY") throw thrown;
        return; // No more can be taken away from it.
      }
    }
  }

  async lift(): Promise<void> {
    await writeFile(join(this.#folder, "memory.limit_in_bytes"), "-1");
  }

  async processes(): Promise<readonly number[]> {
    return (await this.#read("cgroup.procs")).split("\n").filter(Boolean).map(Number);
  }

  async #usedBytes(): Promise<number> {
    return Number(await this.#read("memory.usage_in_bytes"));
  }

  async #read(name: string): Promise<string> {
    return await readFile(join(this.#folder, name), "utf8");
  }

  /** The keeper ends after its folder went. */
  async #remove(): Promise<void> {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      for (const pid of await this.processes()) process.kill(pid, "SIGKILL");
      try {
        await rmdir(this.#folder);
        return;
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== "EBUSY") throw thrown;
      }
      await delay(PAUSE_MS);
    }
    throw new Error(`Cannot remove ${this.#folder}: processes stay in it`);
  }
}

/** Files of a layer that comes slowly, each reader its own, and of one that is here. */
async function slowReaders(t: Test, rig: TakeoverRig) {
  const cached = await rig.mountLayer({ name: "cached", sizes: Array(READERS).fill(400_000) });
  const lazy = await rig.mountLayer({ name: "lazy", sizes: Array(READERS * FILES).fill(260_000) });
  const warm = await startReaders({
    listFile: join(rig.folder, "warm.json"),
    threads: cached.files.map((file) => [{ ...file, mode: "all" }]),
  });
  t.match(await warm.stop(), { failed: [], wrong: [] }, "all is read once");
  rig.registry.script({ path: /blobs/, act: { delayMs: REQUEST_DELAY_MS } });
  const threads = Array.from({ length: READERS }, (_, reader) => [
    ...lazy.files
      .filter((_file, index) => index % READERS === reader)
      .map((file) => ({ ...file, mode: "all" as const })),
    { ...cached.files[reader]!, mode: "again" as const },
  ]);
  return await startReaders({ listFile: join(rig.folder, "readers.json"), threads });
}

async function ask(rig: TakeoverRig, name: string): Promise<void> {
  const files = sampleFiles(name, Array(FILES_ASKED).fill(FILE_BYTES));
  await addLazyLayer({ name, files, registry: rig.registry, client: rig.client() });
}

/** Takes away what memory is left, and asks for layers, which need some, until the server was killed. */
async function askUntilKilled(rig: TakeoverRig, group: MemoryGroup, round: number): Promise<void> {
  using asking = linkSignals([]);
  let isKilled = false;
  const killed = group.killed(asking).then(
    () => {
      isKilled = true;
    },
    () => undefined, // Nobody asks any more.
  );
  for (let call = 0; call < CALLS_MAX && !isKilled; call += 1) {
    await group.tighten({ until: () => isKilled });
    const calls = Array.from({ length: CALLS_AT_ONCE }, (_, index) =>
      ask(rig, `round-${round}-${call}-${index}`),
    );
    await Promise.race([killed, Promise.allSettled(calls)]);
  }
  asking.abort(new DOMException("Nobody asks any more", "AbortError"));
  if (!isKilled) throw new Error(`The kernel killed nobody in ${CALLS_MAX} rounds of calls`);
}

/** Why no group can be made here; false: one can. */
async function whyNot(): Promise<string | false> {
  const folder = join(CONTROLLER, `lazuli-oom-${process.pid}`);
  try {
    await mkdir(folder);
    await readFile(join(folder, "memory.oom_control"));
    await rmdir(folder);
    return false;
  } catch (thrown) {
    return `want a memory controller of cgroup v1 at ${CONTROLLER}, got ${String(thrown)}`;
  }
}

const skip = await whyNot();

for (const program of ["snapshotter", "daemon"] as const) {
  t.test(`lazuli ${program} that the kernel kills for its memory fails no read`, { skip }, async (t) => {
    await using cleanup = new Cleanup();
    const group = await MemoryGroup.make(cleanup);
    const rig = await takeoverRig(cleanup, { program });
    const words = group.around(rig.words);
    const server = new Supervisor({ ...rig, words, logFile: join(rig.folder, "lazuli.log") });
    cleanup.add(() => server.stop());
    await server.ready();
    const keeper = await keeperPid(rig.state);
    t.ok((await group.processes()).includes(keeper), "the keeper is in the same group");
    const readers = await slowReaders(t, rig);
    const acknowledged: string[] = [];
    for (let round = 0; round < KILLS; round += 1) {
      const { starts } = server;
      const name = `acknowledged-${round}`;
      await ask(rig, name);
      acknowledged.push(name);
      await askUntilKilled(rig, group, round);
      await group.lift();
      for (let attempt = 0; attempt < TRIES && server.starts === starts; attempt += 1) await delay(PAUSE_MS);
      await server.ready();
    }
    const result = await readers.stop();
    const kills = await group.kills();
    await recordCounts({
      name: `oom-kill-${program}`,
      what: `Kills of \`lazuli ${program}\` by the kernel for its memory, under readers`,
      figures: {
        kills,
        ...readersFigures(READERS, result),
        "ms longest read": Math.round(result.longestMs),
      },
    });
    t.ok(kills >= KILLS, `${kills} kills`);
    t.ok(server.starts > KILLS, "a process was started after each");
    t.equal(await keeperPid(rig.state), keeper, "the keeper lives");
    t.same(result.failed, [], "failed reads");
    t.same(result.wrong, [], "wrong bytes");
    t.equal(result.stuck, 0, "stuck readers");
    t.ok(result.files >= READERS * FILES, "each reader has read all its files");
    if (program === "snapshotter") {
      // The daemon's collector removes them: no image refers to them.
      const client = rig.client();
      for (const name of acknowledged) t.match(await client.stat(name), { kind: "committed" });
    }
    const log = await readFile(join(rig.folder, "lazuli.log"), "utf8");
    t.match(log, /Went on with the mounts of an earlier process/);
    t.comment(JSON.stringify({ kills, files: result.files, longestMs: Math.round(result.longestMs) }));
  });
}
