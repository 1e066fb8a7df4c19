import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t from "tap";
import { sessionKinds, unmountFuse } from "../../src/fuse/index.js";
import { binding, dd, makeGzipSample, makeRig, sha256, sumFromOutside } from "./rig.js";

const run = promisify(execFile);
const UNIT = 64 * 1024;

/** Waits until the process has printed `text` `count` times in all. */
async function printed(child: ChildProcess, text: string, count: number): Promise<void> {
  let output = "";
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
    output += String(chunk);
    if (output.split(text).length > count) return;
  }
  throw new Error(`The process ended before it printed "${text}" ${count} times`);
}

t.test("openSession() with an adopted descriptor answers the reads that a killed process left", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "lazuli-takeover-"));
  const mount = join(folder, "mount");
  mkdirSync(mount);
  const sample = makeGzipSample(4, UNIT);
  const paths = { data: join(folder, "data"), table: join(folder, "table") };
  writeFileSync(paths.data, Buffer.alloc(sample.data.length));
  writeFileSync(paths.table, sample.table.buffer);
  const fuseFd = binding.openFuse();
  t.teardown(async () => {
    await unmountFuse(binding, mount).catch(() => {});
    rmSync(folder, { recursive: true });
  });

  const script = fileURLToPath(new URL("serve-flat.js", import.meta.url));
  const first = spawn(process.execPath, [script, "3", mount, paths.data, paths.table], {
    stdio: ["ignore", "pipe", "inherit", fuseFd],
  });
  const path = join(mount, "5");
  await printed(first, "mounted", 1);
  const waiting = [0, 1, 2].map((unit) => dd(path, { offset: unit * UNIT + 10, length: 5000, direct: true }));
  await printed(first, "miss", 3);
  first.kill("SIGKILL");
  await once(first, "exit");

  const plane = new binding.Plane({
    fuseThreads: 2,
    workerThreads: 1,
    waitingReadsMax: 16,
    onMiss: (misses) => {
      for (const { layer, firstUnit, lastUnit } of misses) {
        void plane.ingest({ layer, firstUnit, lastUnit, bytes: sample.blob, blobOffset: 0 });
      }
    },
    onInterrupt: () => {},
    onDamaged: () => {},
    onRefused: () => {},
  });
  t.teardown(() => plane.close());
  const dataFd = openSync(paths.data, "r+");
  plane.addLayer({ number: 5, dataFd, units: sample.table.buffer, present: new Uint8Array(1), metaFd: -1 });
  closeSync(dataFd);
  plane.openSession({ kind: sessionKinds.flat, layer: 0, fuseFd, adopted: true });
  for (const [unit, read] of (await Promise.all(waiting)).entries()) {
    t.equal(read.code, 0, read.message);
    t.ok(read.bytes.equals(sample.data.subarray(unit * UNIT + 10, unit * UNIT + 5010)));
  }
  t.equal(await sumFromOutside(path), sha256(sample.data));
});

t.test("no child inherits /dev/fuse", async (t) => {
  await using rig = await makeRig();
  const { stdout } = await run("ls", ["-l", "/proc/self/fd"]);
  t.notMatch(stdout, "/dev/fuse");
  t.ok(rig.session > 0);
});
