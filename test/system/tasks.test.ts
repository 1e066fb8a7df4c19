import { spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDaemon } from "../../testing/rig/daemon.js";

const anyCode = Array.from({ length: 256 }, (_, code) => code);
const NAMESPACE = `tasks-${process.pid}`;
const DETACHED = 9;

async function lab() {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-tasks-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => rm(`/run/containerd/runc/${NAMESPACE}`, { recursive: true, force: true }));
  const image = join(folder, "image");
  for (const name of ["bin", "proc", "dev", "sys", "run", "tmp", "etc"]) {
    await mkdir(join(image, name), { recursive: true });
  }
  await copyFile("/bin/busybox", join(image, "bin/busybox"));
  for (const name of ["sh", "sleep", "cat", "echo"]) await symlink("busybox", join(image, "bin", name));
  let daemon = await startDaemon({ folder });
  cleanup.add(() => daemon.stop());
  const ctr = (...args: string[]) =>
    command("ctr", ["--address", daemon.address, "--namespace", NAMESPACE, ...args], { allow: anyCode });
  cleanup.add(async () => {
    for (const id of (await ctr("task", "ls", "-q")).stdout.split("\n").filter(Boolean)) {
      await ctr("task", "rm", "-f", id);
    }
  });
  return {
    image,
    ctr,
    daemon: () => daemon,
    restart: async () => {
      await daemon.stop("SIGKILL");
      daemon = await startDaemon({ folder });
    },
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
}

t.test("ctr runs, execs, pauses, kills and deletes tasks", async (t) => {
  await using l = await lab();
  const { ctr, image } = l;
  t.match(
    await ctr("run", "--rm", "--rootfs", image, "once", "/bin/sh", "-c", "echo out; echo err >&2; exit 7"),
    {
      code: 7,
      stdout: "out\n",
      stderr: /err/,
    },
  );
  t.equal((await ctr("run", "-d", "--rootfs", image, "long", "/bin/sleep", "1000")).code, 0);
  t.match((await ctr("task", "ls")).stdout, /long\s+\d+\s+RUNNING/);
  t.match(await ctr("task", "exec", "--exec-id", "x", "long", "/bin/sh", "-c", "echo hi; exit 4"), {
    code: 4,
    stdout: "hi\n",
  });
  t.equal((await ctr("task", "pause", "long")).code, 0);
  t.match((await ctr("task", "ls")).stdout, /long\s+\d+\s+PAUSED/);
  t.equal((await ctr("task", "resume", "long")).code, 0);
  t.match((await ctr("task", "ps", "long")).stdout, /\d+/);
  t.match((await ctr("task", "metrics", "long")).stdout, /long/);
  t.match(await ctr("task", "rm", "long"), {
    code: 1,
    stderr: /must be stopped|running|failed precondition/,
  });
  t.equal((await ctr("task", "kill", "-s", "SIGKILL", "long")).code, 0);
  while (/RUNNING|PAUSED/.test((await ctr("task", "ls")).stdout)) await delay(20);
  t.match((await ctr("task", "rm", "long")).stderr, /exit code 137/);
  t.match(await ctr("task", "kill", "long"), { code: 1, stderr: /not found/ });
  t.equal((await ctr("c", "rm", "long")).code, 0);
});

t.test("ten containers outlive a daemon that is killed, and the next one has their exit codes", async (t) => {
  await using l = await lab();
  const { image } = l;
  const args = [
    "--address",
    l.daemon().address,
    "--namespace",
    NAMESPACE,
    "run",
    "--rootfs",
    image,
    "attached",
  ];
  const attached = spawn("ctr", [...args, "/bin/sh", "-c", "while :; do sleep 0.1; done"], {
    stdio: "ignore",
  });
  const ids = Array.from({ length: DETACHED }, (_, index) => `c${index}`);
  const line = "trap 'exit 6' TERM; while :; do sleep 0.1; done";
  await Promise.all(ids.map((id) => l.ctr("run", "-d", "--rootfs", image, id, "/bin/sh", "-c", line)));
  const running = async (): Promise<Map<string, string>> => {
    const { stdout } = await l.ctr("task", "ls");
    return new Map([...stdout.matchAll(/^(\S+)\s+(\d+)\s+RUNNING/gm)].map(([, id, pid]) => [id!, pid!]));
  };
  while ((await running()).size < DETACHED + 1) await delay(50);
  const before = await running();
  await l.restart();
  t.same(await running(), before);
  attached.kill("SIGKILL");
  const id = "c0";
  t.match((await l.ctr("task", "exec", "--exec-id", "x", id, "/bin/echo", "again")).stdout, /again/);
  await l.ctr("task", "kill", id);
  while ((await running()).has(id)) await delay(20);
  t.match((await l.ctr("task", "rm", id)).stderr, /exit code 6/);
  t.equal((await l.ctr("run", "--rm", "--rootfs", image, "new", "/bin/sh", "-c", "exit 3")).code, 3);
  const log = await readFile(l.daemon().logFile, "utf8");
  t.notMatch(log, /Cannot find a task again/);
});
