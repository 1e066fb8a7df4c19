import { join } from "node:path";
import t from "tap";
import { startReaders } from "../../testing/crash/readers.js";
import { Supervisor } from "../../testing/crash/supervisor.js";
import { addLazyLayer, takeoverRig } from "../../testing/crash/takeover-rig.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { Cleanup } from "../../testing/rig/cleanup.js";

t.setTimeout(0);

const LAYERS = Number(process.env.LAZULI_OFFLINE_LAYERS ?? 200);
/** Lazy layers are made by so many clients at once. */
const CLIENTS = 8;

t.test(`${LAYERS} lazy snapshots are served at once by a node whose registry is a black hole`, async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup, { layer: 'keeper = "off"' });
  const words = { ...rig, logFile: join(rig.folder, "lazuli.log") };
  const first = new Supervisor(words);
  cleanup.add(() => first.stop());
  await first.ready();
  const read = await rig.mountLayer({ name: "read", sizes: [150_000, 70_000] });
  const readAll = async (files: typeof read.files) => {
    const threads = files.map((file) => [{ ...file, mode: "all" as const }]);
    return await (await startReaders({ listFile: join(rig.folder, "list.json"), threads })).stop();
  };
  t.match(await readAll(read.files), { files: 2, failed: [], wrong: [] });
  const client = rig.client();
  const names = Array.from({ length: LAYERS - 1 }, (_, index) => `layer-${index}`);
  const waiting = [...names];
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        await addLazyLayer({ name, files: sampleFiles(name, [100]), registry: rig.registry, client });
      }
    }),
  );
  await first.stop("SIGKILL");

  const asked = rig.registry.log.length;
  rig.registry.script({ act: { stallAfter: -1 } });
  const startedAt = performance.now();
  const second = new Supervisor(words);
  cleanup.add(() => second.stop("SIGKILL"));
  await second.ready();
  const readyMs = performance.now() - startedAt;
  const next = rig.client();
  for (const name of names) await next.stat(name);
  t.equal(rig.registry.log.length, asked, "the start and the snapshots asked for nothing");
  const again = await rig.mountSnapshot({ name: "again", parent: "read" });
  const files = read.files.map((file) => ({ ...file, path: file.path.replace(read.folder, again.folder) }));
  t.match(await readAll(files), { files: 2, failed: [], wrong: [] }, "what was read before is read again");
  t.equal(rig.registry.log.length, asked, "and needed no registry");
  t.comment(`${LAYERS} lazy layers: the API was ready after ${readyMs.toFixed(0)} ms`);
});
