import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "lmdb";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { sha256 } from "../../src/bytes/index.js";
import { type Client, connect } from "../../src/client/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { type BuiltLayer, buildEstargz } from "../../testing/estargz-builder.js";
import { type SampleFile, sampleFiles } from "../../testing/layer/sample-layer.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { countHeap, type HeapCount, heapEnv } from "../../testing/rig/count-heap.js";
import { type RunningDaemon, startDaemon } from "../../testing/rig/daemon.js";
import { TextSink } from "./client-rig.js";

/** One after another; scripts/test-long.sh asks for more. */
const CYCLES = Number(process.env.LAZULI_CYCLES ?? 8);
/** Until all code has run once. */
const WARMING_CYCLES = 2;
/** Between two counts of the heap. */
const COUNTED_CYCLES = Math.max(4, Math.floor(CYCLES / 4));
/**
 * Of which there may be so many, or any number. The daemon remembers something of the last 1,024 images in plain objects, whose
 * growth shows in the bytes, and the last 32 replays, each with its timer. Node keeps the list of an unreferenced timer
 * that was cleared until it would have run, one for each number of milliseconds.
 */
const MOST_OBJECTS = new Map([
  ...["Object", "Array", "Map", "Set", "TimersList"].map((name) => [name, Number.POSITIVE_INFINITY] as const),
  ["Replay", 32],
  ["Timeout", 64],
]);
/** What such an image takes, with room for what V8 compiles meanwhile. */
const HEAP_SLACK_BYTES = 2 * 1024 * 1024;
const HEAP_CYCLE_BYTES = 16 * 1024;
/** Until what ends by itself has ended. */
const HEAP_LOOKS = 4;
/** What the heap of a daemon may differ by between two quiet moments. */
const MEMORY_SLACK_BYTES = 48 * 1024 * 1024;
/** As src/traces and src/profiles have it. */
const TRACES_MAX = 64;
const PROFILES_MAX = 256;
/** Connections to the registry come and go; a leak of one a cycle is more. */
const DESCRIPTORS_SLACK = 4;
/** Of the files of a cycle's own layer: too much to come with its index. */
const FILE_BYTES = [100_000, 1_500_000, 70_000];
const SETTLING_LOOKS = 40;
const SETTLING_PAUSE_MS = 250;
const NAMESPACE = `cycles-${process.pid}`;

t.setTimeout(0);

interface Lab {
  readonly folder: string;
  readonly daemon: RunningDaemon;
  readonly client: Client;
  readonly registry: RegistryServer;
  /** Programs; all images have it. */
  readonly base: BuiltLayer;
}

interface Left {
  /** Files, mounts, processes, and the records of each service. */
  readonly things: readonly string[];
  readonly openFiles: number;
  /** Slots of the daemon in LMDB's table of readers. */
  readonly readers: number;
}

t.test(`${CYCLES} times an image is pulled, run and removed, and nothing is left`, async (t) => {
  await using cleanup = new Cleanup();
  const lab = await startCycles(cleanup);
  for (let index = 0; index < WARMING_CYCLES; index += 1) await cycle(lab, `warm-${index}`);
  const before = await settled(lab, (now) => now.things.length === 0);
  t.same(before.things, [], "a cycle takes away what it made");
  // The least of each quarter: V8 lets more than 100 MB grow between two collections of all its heap. The first is left
  // out, as caches and allocators fill.
  const leastBytes = Array.from({ length: 4 }, () => Number.POSITIVE_INFINITY);
  for (let index = 0; index < CYCLES; index += 1) {
    const { output, wanted, lazyLayers } = await cycle(lab, `cycle-${index}`);
    if (output !== wanted || lazyLayers < 2) t.fail(`${index}: ${lazyLayers} ${output}`);
    const quarter = Math.floor((index * 4) / CYCLES);
    leastBytes[quarter] = Math.min(leastBytes[quarter]!, await residentBytes(lab));
  }
  const after = await settled(
    lab,
    (now) => now.things.length === 0 && now.openFiles <= before.openFiles && now.readers <= before.readers,
  );
  t.same(after.things, [], "files, mounts, processes and records");
  const descriptors = after.openFiles - before.openFiles;
  t.ok(descriptors <= DESCRIPTORS_SLACK, `descriptors: ${before.openFiles}, then ${after.openFiles}`);
  t.ok(after.readers <= before.readers, `readers: ${before.readers}, then ${after.readers}`);
  const grownBytes = leastBytes[3]! - leastBytes[1]!;
  t.ok(grownBytes < MEMORY_SLACK_BYTES, `memory grew by ${grownBytes} bytes`);
  const traces = (await filesBelow(join(lab.daemon.root, "traces"))).length;
  const profiles = (await filesBelow(join(lab.daemon.root, "profiles"))).length;
  t.ok(traces <= TRACES_MAX, `${traces} traces`);
  t.ok(profiles <= PROFILES_MAX, `${profiles} profiles`);
  const heap = await heapGrowth(lab);
  t.same(heap.leaked, [], "objects of which each cycle leaves one");
  const heapMaxBytes = HEAP_SLACK_BYTES + COUNTED_CYCLES * HEAP_CYCLE_BYTES;
  t.ok(heap.bytes < heapMaxBytes, `the heap grew by ${heap.bytes} bytes`);
  await recordCounts({
    name: "cycles",
    what: "Cycles of pull, run, exec and remove on `lazuli daemon`",
    figures: {
      cycles: CYCLES,
      "things left": after.things.length,
      "descriptors more than before": descriptors,
      "LMDB readers more than before": after.readers - before.readers,
      "KiB of memory from the second quarter to the last": Math.round(grownBytes / 1024),
      "kinds of objects left": heap.leaked.length,
      "KiB of heap a cycle": Math.round(heap.bytes / 1024 / COUNTED_CYCLES),
      traces,
      profiles,
    },
  });
});

async function startCycles(cleanup: Cleanup): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cycles-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => rm(`/run/containerd/runc/${NAMESPACE}`, { recursive: true, force: true }));
  const registry = await startRegistry();
  cleanup.add(() => registry.stop());
  // So slow that a layer is not complete when its container starts: what reads of a complete one touch is not noted.
  // The replay of an image that is gone ends by its time.
  const config =
    '[layer]\nbudget = "1GiB"\nunused_grace = "1s"\nfill_bandwidth = "64KiB"\n[profiles]\nmax_time = "1s"';
  const daemon = await startDaemon({ folder, config, env: heapEnv(join(folder, "heap")) });
  cleanup.add(() => daemon.stop());
  const client = connect({
    address: daemon.address,
    namespace: NAMESPACE,
    fifoFolder: join(folder, "fifo"),
  });
  cleanup.add(() => client[Symbol.dispose]());
  const address = ["--address", daemon.address, "--namespace", NAMESPACE];
  cleanup.add(async () => {
    for (const id of (await client.tasks()).keys())
      await command("ctr", [...address, "tasks", "rm", "-f", id]);
  });
  const programs = ["sh", "sleep", "sha256sum"].map((name) => ({
    name: `bin/${name}`,
    type: "symlink" as const,
    linkName: "busybox",
  }));
  const base = buildEstargz([
    { name: "bin/", type: "dir" },
    { name: "bin/busybox", type: "reg", mode: 0o755, content: await readFile("/usr/bin/busybox") },
    ...programs,
  ]);
  return { folder, daemon, client, registry, base };
}

/** Adds an image of the programs and of files that no other cycle has. @returns its reference */
function addImage({ registry, base }: Lab, id: string, files: readonly SampleFile[]): string {
  const own = buildEstargz([
    ...["folder-0/", "folder-1/", "folder-2/"].map((name) => ({ name, type: "dir" as const })),
    ...files.map((file) => ({ ...file, type: "reg" as const })),
  ]);
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [base.diffId, own.diffId] },
    }),
  );
  const descriptor = (bytes: Buffer, mediaType: string, annotations = {}) => ({
    mediaType,
    digest: registry.addBlob(bytes),
    size: bytes.length,
    annotations,
  });
  const layerOf = ({ blob, tocDigest }: BuiltLayer) =>
    descriptor(blob, "application/vnd.oci.image.layer.v1.tar+gzip", {
      "containerd.io/snapshot/stargz/toc.digest": tocDigest,
    });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: [base, own].map(layerOf),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  registry.addManifest({ repository: "cycles", tag: id, bytes, mediaType });
  return `${registry.host}/cycles:${id}`;
}

/** What `sha256sum` prints of them. */
function sumsOf(files: readonly SampleFile[]): string {
  return files.map(({ name, content }) => `${sha256(content).slice("sha256:".length)}  /${name}\n`).join("");
}

/** All that a user does with an image, and then it is gone. */
async function cycle(
  lab: Lab,
  id: string,
): Promise<{ readonly output: string; readonly wanted: string; readonly lazyLayers: number }> {
  const { client, daemon } = lab;
  const files = sampleFiles(id, FILE_BYTES);
  const pulled = await client.pull(addImage(lab, id, files), { snapshotter: "overlayfs" });
  const lazyLayers = (await readdir(join(daemon.root, "layers", "v1"))).length;
  const args = ["/bin/sh", "-c", "echo written > /written; sleep 1000"];
  const container = await client.createContainer({ id, image: pulled, snapshotter: "overlayfs", args });
  const task = await container.newTask({ io: { kind: "none" } });
  const ended = task.wait();
  await task.start();
  const stdout = new TextSink();
  const words = ["/bin/sha256sum", ...files.map(({ name }) => `/${name}`)];
  const inside = await task.exec({
    id: "inside",
    process: { ...container.spec.process, args: words },
    io: { kind: "streams", stdout },
  });
  const insideEnded = inside.wait();
  await inside.start();
  await insideEnded;
  await inside.outputFinished;
  await inside.delete();
  await task.kill("KILL");
  await ended;
  await task.delete();
  await container.delete();
  await pulled.remove({ sync: true });
  return { output: stdout.text, wanted: sumsOf(files), lazyLayers };
}

/** By how much more is reachable after some cycles; `leaked` are classes of which there is one more for each of them. */
async function heapGrowth(lab: Lab): Promise<{ readonly leaked: readonly string[]; readonly bytes: number }> {
  const count = async (): Promise<HeapCount> => {
    await settled(lab, (now) => now.things.length === 0);
    return await countHeap({ pid: lab.daemon.pid, folder: join(lab.folder, "heap") });
  };
  const before = await count();
  for (let index = 0; index < COUNTED_CYCLES; index += 1) await cycle(lab, `counted-${index}`);
  for (let look = 1; ; look += 1) {
    const after = await count();
    const leaked = [...after.objects]
      .filter(([name, objects]) => objects > (MOST_OBJECTS.get(name) ?? 0))
      .map(([name, objects]) => ({ name, more: objects - (before.objects.get(name) ?? 0) }))
      .filter(({ more }) => more >= COUNTED_CYCLES)
      .map(({ name, more }) => `${more} ${name}`);
    if (leaked.length === 0 || look === HEAP_LOOKS) return { leaked, bytes: after.bytes - before.bytes };
    await delay(SETTLING_PAUSE_MS * look);
  }
}

/** What is there, once that has ended which ends by itself soon after an answer. */
async function settled(lab: Lab, isBack: (now: Left) => boolean): Promise<Left> {
  for (let look = 1; ; look += 1) {
    const now = await leftOf(lab);
    if (look === SETTLING_LOOKS || isBack(now)) return now;
    await delay(SETTLING_PAUSE_MS);
  }
}

async function leftOf({ client, daemon, folder }: Lab): Promise<Left> {
  // A collection that has ended: snapshots and content go by it.
  await command("ctr", [
    ...["--address", daemon.address, "--namespace", NAMESPACE],
    ...["content", "prune", "references"],
  ]);
  const things: string[] = [];
  const add = (kind: string, all: readonly string[]): void => {
    things.push(...all.map((one) => `${kind} ${one}`));
  };
  add(
    "container",
    (await client.containers()).map(({ id }) => id),
  );
  add(
    "image",
    (await client.images()).map(({ name }) => name),
  );
  add(
    "lease",
    (await client.leases()).map(({ id }) => id),
  );
  for await (const { name } of client.snapshots("overlayfs")) add("snapshot", [name]);
  for await (const { digest } of client.content.walk([])) add("content", [digest]);
  const own = (target: string): boolean => target.startsWith(folder) && !target.endsWith("/state/data");
  add("mount", (await readMountInfo()).map(({ target }) => target).filter(own));
  add("process", await processes(daemon));
  const { root } = daemon;
  const state = join(folder, "state");
  for (const place of [
    join(root, "content", "blobs", "sha256"),
    join(root, "content", "ingest"),
    join(root, "layers", "v1"),
    join(root, "snapshots"),
    join(root, "io.containerd.runtime.v2.task", NAMESPACE),
    join(state, "io.containerd.runtime.v2.task", NAMESPACE),
    join(state, "layers"),
    join(state, "data"),
    join(state, "idmapped", "lazy"),
    join(folder, "fifo"),
    `/run/containerd/runc/${NAMESPACE}`,
  ]) {
    add(`file of ${place}`, await filesBelow(place));
  }
  return {
    things: things.sort(),
    openFiles: (await readdir(`/proc/${daemon.pid}/fd`)).length,
    readers: await lmdbReaders(daemon),
  };
}

async function filesBelow(folder: string): Promise<string[]> {
  return await readdir(folder, { recursive: true }).catch(() => []); // Nothing was made there yet.
}

/** Shims and whatever else was started for the daemon: network namespaces go with their processes. */
async function processes({ address, pid }: RunningDaemon): Promise<string[]> {
  const found = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === pid) continue;
    const line = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " "); // It has ended.
    if (line.includes(`-address ${address}`)) found.push(line);
  }
  return found;
}

async function lmdbReaders({ root, pid }: RunningDaemon): Promise<number> {
  const path = join(root, "metadata", "metadata.lmdb");
  const database = open({ path, readOnly: true }) as ReturnType<typeof open> & { readerList(): string };
  const lines = database.readerList().split("\n");
  await database.close();
  return lines.filter((line) => line.trim().startsWith(`${pid} `)).length;
}

async function residentBytes({ daemon }: Lab): Promise<number> {
  const status = await readFile(`/proc/${daemon.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
}
