import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { startReaders } from "../../testing/crash/readers.js";
import { keeperPid, mountsBelow, takeoverRig } from "../../testing/crash/takeover-rig.js";
import { Cleanup } from "../../testing/rig/cleanup.js";

t.setTimeout(120_000);

const program = fileURLToPath(new URL("../../../testing/crash/fake-systemd.py", import.meta.url));
const TRIES = 1_000;

t.test("systemd's store has the mounts over SIGKILL and SIGTERM, and no keeper runs", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await takeoverRig(cleanup);
  const manager = spawn("python3", [program, join(rig.folder, "notify"), ...rig.words], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  let told = "";
  manager.stdout.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  cleanup.add(async () => {
    const ended = once(manager, "close");
    manager.stdin.end();
    await ended;
  });
  const starts = (): RegExpExecArray[] => [...told.matchAll(/started (\d+) (\d+)/g)];
  /** Waits for the last start to be ready. */
  const ready = async (count: number): Promise<number> => {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const last = starts()[count - 1];
      if (last !== undefined && told.slice(last.index).includes("notice READY=1")) return Number(last[1]);
      await delay(20);
    }
    throw new Error(`Start ${count} is not ready: ${told}`);
  };
  let pid = await ready(1);
  t.match(told, /notice FDSTORE=1 lazuli-flat-0\.\d+\/v=1,device=0\.\d+,direct=[01]\n/);
  const layer = await rig.mountLayer({ name: "one", sizes: Array(8).fill(300_000) });
  const again = layer.files.map((file) => [{ ...file, mode: "again" as const }]);
  const readers = await startReaders({ listFile: join(rig.folder, "list.json"), threads: again });
  const signals = ["SIGKILL", "SIGTERM", "SIGKILL"] as const;
  for (const [index, signal] of signals.entries()) {
    await delay(300);
    process.kill(pid, signal);
    pid = await ready(index + 2);
    t.equal(starts().at(-1)![2], "1", "the mount was passed");
  }
  await delay(300);
  const result = await readers.stop();
  t.match(result, { failed: [], wrong: [], stuck: 0 });
  t.ok(result.files > layer.files.length);
  await t.rejects(keeperPid(rig.state), /No keeper/);
  t.equal((await mountsBelow(rig.state)).filter((path) => path.endsWith("/data")).length, 1);
});
