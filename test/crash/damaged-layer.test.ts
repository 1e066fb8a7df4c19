import { readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { startReaders } from "../../testing/crash/readers.js";
import { Supervisor } from "../../testing/crash/supervisor.js";
import { type MountedLayer, type TakeoverRig, takeoverRig } from "../../testing/crash/takeover-rig.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";

t.setTimeout(0);

const SIZES = [150_000, 70_000];
/** For what the server does by itself. */
const TRIES = 500;
const PAUSE_MS = 20;

/** Other bytes in place of the middle, by a new file: whoever has the old one open keeps it. */
async function spoil(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes.fill(0xa5, Math.floor(bytes.length / 3), Math.ceil((bytes.length * 2) / 3));
  await unlink(path);
  await writeFile(path, bytes, { mode: 0o600 });
}

async function readAll(rig: TakeoverRig, files: MountedLayer["files"]) {
  const threads = files.map((file) => [{ ...file, mode: "all" as const }]);
  return await (await startReaders({ listFile: join(rig.folder, "list.json"), threads })).stop();
}

/** The files of a layer for a new container on it. */
async function readAgain(rig: TakeoverRig, layer: MountedLayer, names: { name: string; parent: string }) {
  const { folder } = await rig.mountSnapshot(names);
  return await readAll(
    rig,
    layer.files.map((file) => ({ ...file, path: file.path.replace(layer.folder, folder) })),
  );
}

function startServer(rig: TakeoverRig, cleanup: Cleanup): Supervisor {
  const server = new Supervisor({ ...rig, logFile: join(rig.folder, "lazuli.log") });
  cleanup.add(() => server.stop("SIGKILL"));
  return server;
}

t.test(`a layer that is damaged on the disk is made again for its next user`, async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup, {
    layer: 'keeper = "off"',
    config: '[registry]\nattempts = 1\nstall_timeout = "2s"',
  });
  const first = startServer(rig, cleanup);
  await first.ready();
  const parts = ["meta", "units", "record", "folder"] as const;
  const layers = new Map<(typeof parts)[number], MountedLayer>();
  for (const part of parts) {
    const layer = await rig.mountLayer({ name: part, sizes: SIZES });
    t.match(await readAll(rig, layer.files), { files: 2, failed: [], wrong: [] });
    await command("umount", [layer.folder]);
    layers.set(part, layer);
  }
  await first.stop();
  for (const [part, { digest }] of layers) {
    const paths = layerPaths(join(rig.folder, "root"), digest);
    if (part === "folder") await command("rm", ["-r", paths.folder]);
    else await spoil(paths[part]);
  }

  rig.registry.script({ act: { status: 503 } });
  await startServer(rig, cleanup).ready();
  for (const part of parts) {
    await t.rejects(
      rig.client().prepare({ key: `early-${part}`, parent: part, labels: {} }),
      { code: "UNAVAILABLE", message: /lost or damaged on the disk, and can't be made again now/ },
      `${part}: its registry does not answer`,
    );
  }
  rig.registry.clearScript();
  for (const [part, layer] of layers) {
    const seen = await readAgain(rig, layer, { name: `again-${part}`, parent: part });
    t.match(seen, { files: 2, failed: [], wrong: [] }, `${part}: it works with the registry back`);
  }
  const asked = rig.registry.log.length;
  for (const [part, layer] of layers) {
    const seen = await readAgain(rig, layer, { name: `later-${part}`, parent: part });
    t.match(seen, { files: 2, failed: [], wrong: [] });
  }
  t.equal(rig.registry.log.length, asked, "and is whole again");
});

t.test("a layer whose tree is damaged while a container reads it is made again when none does", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup);
  const server = startServer(rig, cleanup);
  await server.ready();
  const layer = await rig.mountLayer({ name: "used", sizes: SIZES });
  // Not all of it: a layer that is complete gets a second mount, which would be there for new users.
  t.match(await readAll(rig, layer.files.slice(0, 1)), { files: 1, failed: [], wrong: [] });
  await server.end("SIGTERM");
  await spoil(layerPaths(join(rig.folder, "root"), layer.digest).meta);
  await server.ready();
  t.match(await readAll(rig, layer.files), { files: 2, failed: [], wrong: [] }, "its container reads on");
  // Until all of it was compared new users get the mount that is there.
  const client = rig.client();
  let refusal: { code?: string } | undefined;
  for (let attempt = 0; attempt < TRIES && refusal === undefined; attempt += 1) {
    await delay(PAUSE_MS);
    await client.mounts("active-used").catch((thrown: { code?: string }) => {
      refusal = thrown;
    });
  }
  t.match(refusal, { code: "DATA_LOSS", message: /meta image is damaged/ }, "a new user is refused");
  t.match(await readAll(rig, layer.files), { files: 2, failed: [], wrong: [] }, "its container reads on");
  await command("umount", [layer.folder]);
  const seen = await readAgain(rig, layer, { name: "again", parent: "used" });
  t.match(seen, { files: 2, failed: [], wrong: [] });
});
