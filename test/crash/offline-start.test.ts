import { chmod, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import t, { type Test } from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { startReaders } from "../../testing/crash/readers.js";
import { Supervisor } from "../../testing/crash/supervisor.js";
import {
  addLazyLayer,
  type KnownFile,
  type MountedLayer,
  type TakeoverRig,
  takeoverRig,
} from "../../testing/crash/takeover-rig.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { ext4Disk } from "../../testing/rig/ext4-disk.js";

t.setTimeout(0);

const LAYERS = Number(process.env.LAZULI_OFFLINE_LAYERS ?? 200);
/** Of the node that loses its power. */
const CRASH_LAYERS = Math.ceil(LAYERS / 4);
/** Bytes of its disk for each layer, and for everything else. */
const LAYER_BYTES = 1024 * 1024;
const DISK_BYTES = 192 * 1024 * 1024;
/** Lazy layers are made by so many clients at once. */
const CLIENTS = 8;

async function readAll(rig: TakeoverRig, files: readonly KnownFile[]) {
  const threads = files.map((file) => [{ ...file, mode: "all" as const }]);
  return await (await startReaders({ listFile: join(rig.folder, "list.json"), threads })).stop();
}

/** Makes lazy layers without files that anybody reads. @returns their names */
async function addLayers(rig: TakeoverRig, count: number): Promise<readonly string[]> {
  const client = rig.client();
  const names = Array.from({ length: count }, (_, index) => `layer-${index}`);
  const waiting = [...names];
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        await addLazyLayer({ name, files: sampleFiles(name, [100]), registry: rig.registry, client });
      }
    }),
  );
  return names;
}

/** Starts a server whose registry answers nobody, and asks it for all that it has to have. @returns how long it took */
async function startOffline(
  t: Test,
  parts: {
    readonly rig: TakeoverRig;
    readonly start: () => Supervisor;
    readonly names: readonly string[];
    readonly read: MountedLayer;
  },
): Promise<number> {
  const { rig, start, names, read } = parts;
  const asked = rig.registry.log.length;
  rig.registry.script({ act: { stallAfter: -1 } });
  const startedAt = performance.now();
  await start().ready();
  const readyMs = performance.now() - startedAt;
  const next = rig.client();
  for (const name of names) await next.stat(name);
  t.equal(rig.registry.log.length, asked, "the start and the snapshots asked for nothing");
  const again = await rig.mountSnapshot({ name: "again", parent: "read" });
  const files = read.files.map((file) => ({ ...file, path: file.path.replace(read.folder, again.folder) }));
  t.match(
    await readAll(rig, files),
    { files: 2, failed: [], wrong: [] },
    "what was read before is read again",
  );
  t.equal(rig.registry.log.length, asked, "and needed no registry");
  return readyMs;
}

t.test(`${LAYERS} lazy snapshots are served at once by a node whose registry is a black hole`, async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup, { layer: 'keeper = "off"' });
  const words = { ...rig, logFile: join(rig.folder, "lazuli.log") };
  const start = (): Supervisor => {
    const server = new Supervisor(words);
    cleanup.add(() => server.stop("SIGKILL"));
    return server;
  };
  const first = start();
  await first.ready();
  const read = await rig.mountLayer({ name: "read", sizes: [150_000, 70_000] });
  t.match(await readAll(rig, read.files), { files: 2, failed: [], wrong: [] });
  const names = await addLayers(rig, LAYERS - 1);
  await first.stop("SIGKILL");
  const readyMs = await startOffline(t, { rig, start, names, read });
  const figures = { layers: LAYERS, "ms until the API was ready": Math.round(readyMs) };
  await recordCounts({ name: "offline-start", what: "Lazy layers served without a registry", figures });
});

t.test(`so are ${CRASH_LAYERS} after a loss of power`, async (t) => {
  const disk = await ext4Disk(t, DISK_BYTES + CRASH_LAYERS * LAYER_BYTES);
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup, { layer: 'keeper = "off"' });
  const words = { ...rig, logFile: join(rig.folder, "lazuli.log") };
  const start = (): Supervisor => {
    const server = new Supervisor(words);
    cleanup.add(() => server.stop("SIGKILL"));
    return server;
  };
  const root = join(rig.folder, "root");
  await mkdir(root);
  await chmod(disk, 0o700);
  await command("mount", ["--bind", disk, root]);
  const first = start();
  await first.ready();
  const read = await rig.mountLayer({ name: "read", sizes: [150_000, 70_000] });
  t.match(await readAll(rig, read.files), { files: 2, failed: [], wrong: [] });
  // What has arrived is noted at the latest when the server stops.
  await first.end("SIGTERM");
  await first.ready();
  const names = await addLayers(rig, CRASH_LAYERS - 1);
  // What the file system has not written by now is lost.
  const image = join(rig.folder, "lost-power");
  await command("cp", ["--sparse=always", join(dirname(disk), "disk"), image]);
  await first.stop("SIGKILL");
  await unmountBelow(rig.folder);
  await rm(rig.state, { recursive: true, force: true });
  await command("mount", ["-o", "loop", image, root]);
  const readyMs = await startOffline(t, { rig, start, names, read });
  const figures = { layers: CRASH_LAYERS, "ms until the API was ready": Math.round(readyMs) };
  await recordCounts({
    name: "offline-start-power-loss",
    what: "Lazy layers served without a registry after a loss of power",
    figures,
  });
});
