import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { startSnapshotter } from "../../testing/rig/snapshotter.js";

const RECONNECT_TRIES = 50;
const RECONNECT_PAUSE_MS = 200;
const program = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));

async function folderFor(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-daemon-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  return folder;
}

async function records(logFile: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(logFile, "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

t.test(
  "a real containerd makes, commits, lists and removes snapshots through lazuli snapshotter",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await folderFor(cleanup);
    const lazuli = await startSnapshotter({ folder: join(folder, "lazuli") });
    cleanup.add(() => lazuli.stop());
    const containerd = await startContainerd({
      folder: join(folder, "containerd"),
      snapshotter: { name: "lazuli", socket: lazuli.socket, root: lazuli.root },
    });
    cleanup.add(() => containerd.stop());
    const snapshots = async (...words: string[]): Promise<string> =>
      (await containerd.ctr(["snapshots", "--snapshotter", "lazuli", ...words])).stdout;

    const target = join(folder, "mount");
    await mkdir(target);
    await snapshots("prepare", "--target", target, "base-key");
    await command("sh", ["-c", await snapshots("mounts", target, "base-key")]);
    await command("sh", ["-c", `echo hello > ${target}/file && umount ${target}`]);
    await snapshots("commit", "base", "base-key");
    await snapshots("prepare", "child", "base");
    await command("sh", ["-c", await snapshots("mounts", target, "child")]);
    t.equal(await readFile(join(target, "file"), "utf8"), "hello\n", "a child shows what its parent holds");
    await command("umount", [target]);
    t.match(await snapshots("ls"), /base +Committed(.|\n)*child +base +Active/);

    const status = JSON.parse((await lazuli.lazuli(["status", "--json"])).stdout);
    t.match(status, { version: /^\d/, layers: [], snapshots: [{ kind: "committed" }, { kind: "active" }] });
    t.ok(status.counters.lazuli_snapshotter_calls_total > 5, "calls are counted");
    t.match((await lazuli.lazuli(["status"])).stdout, /No lazy layers\.(.|\n)*SNAPSHOT +KIND/);
    const explained = await lazuli.lazuli(["explain", "base"]);
    t.match(explained.stdout, /base: 0 of 1 layers are lazy/);

    await snapshots("rm", "child");
    await snapshots("rm", "base");
    t.notMatch(await snapshots("ls"), "base");
  },
);

t.test("lazuli snapshotter keeps snapshots over a stop, and stops cleanly", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const first = await startSnapshotter({ folder: join(folder, "lazuli") });
  const containerd = await startContainerd({
    folder: join(folder, "containerd"),
    snapshotter: { name: "lazuli", socket: first.socket, root: first.root },
  });
  cleanup.add(() => containerd.stop());
  await containerd.ctr(["snapshots", "--snapshotter", "lazuli", "prepare", "kept"]);
  await first.stop();
  t.match((await records(first.logFile)).at(-1), { level: "info", message: "Stopped" });
  t.notOk((await readdir(join(folder, "lazuli"))).includes("lazuli.sock"), "the socket is gone");
  const second = await startSnapshotter({ folder: join(folder, "lazuli") });
  cleanup.add(() => second.stop());
  let listed = await containerd.ctr(["snapshots", "--snapshotter", "lazuli", "ls"], { allow: [1] });
  // containerd waits up to three seconds before it connects anew.
  for (let attempt = 0; listed.code !== 0 && attempt < RECONNECT_TRIES; attempt += 1) {
    await delay(RECONNECT_PAUSE_MS);
    listed = await containerd.ctr(["snapshots", "--snapshotter", "lazuli", "ls"], { allow: [1] });
  }
  t.match(listed.stdout, "kept");
});

t.test("lazuli snapshotter refuses folders that another one uses, and tells what to do", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const lazuli = await startSnapshotter({ folder });
  cleanup.add(() => lazuli.stop());
  const start = (words: readonly string[]) =>
    command(program, ["snapshotter", "--containerd-enabled", "false", ...words], { allow: [9] });
  const sameState = ["--root", join(folder, "other"), "--state", lazuli.state];
  t.match(await start([...sameState, "--address", join(folder, "x.sock")]), {
    code: 9,
    stderr: /another lazuli that runs on it\nhint: Stop the other one/,
  });
  const sameRoot = ["--root", lazuli.root, "--state", join(folder, "state2")];
  t.match(await start([...sameRoot, "--address", join(folder, "x.sock")]), { code: 9, stderr: /hint: / });
  const sameSocket = ["--root", join(folder, "other"), "--state", join(folder, "state2")];
  t.match(await start([...sameSocket, "--address", lazuli.socket]), { code: 9, stderr: /hint: / });
  t.equal((await lazuli.lazuli(["status"])).code, 0, "the first one goes on");
});

t.test("commands tell what to do when no daemon answers", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const socket = join(folder, "no.sock");
  for (const words of [["status"], ["explain", "image"]]) {
    t.match(await command(program, [...words, "--address", socket], { allow: [14] }), {
      code: 14,
      stdout: "",
      stderr: /Cannot reach the daemon at .*no\.sock(.|\n)*hint: Start it/,
    });
  }
  const lazuli = await startSnapshotter({ folder });
  cleanup.add(() => lazuli.stop());
  const words = ["explain", "no-such-image", "--json", "--address", lazuli.socket];
  const missing = await command(program, words, { allow: [5] });
  t.match(JSON.parse(missing.stderr).error, { code: "NOT_FOUND" });
});

const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
s.settimeout(20)
for _ in range(2):
    print(s.recv(4096).decode().replace("\\n", "|"), flush=True)
`;

t.test("lazuli snapshotter tells systemd when it is ready and when it stops", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const socket = join(folder, "notify.sock");
  const child = spawn("python3", ["-c", receiver, socket], { stdio: ["ignore", "pipe", "inherit"] });
  cleanup.add(() => void child.kill());
  let told = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  const closed = once(child, "close");
  await once(child.stdout, "data");
  const lazuli = await startSnapshotter({ folder: join(folder, "lazuli"), env: { NOTIFY_SOCKET: socket } });
  await lazuli.stop();
  await closed;
  t.match(told, /^bound\nREADY=1\|STATUS=Serving on .*\|\nSTOPPING=1\|/);
});
