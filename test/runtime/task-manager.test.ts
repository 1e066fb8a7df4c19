import { execFileSync } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { jsonValue, namespace, processOf, shimsOf, specOf, type TaskLab, taskLab } from "./lab.js";

const init = (id: string) => ({ namespace, id, execId: "" });

const bundles = `state/io.containerd.runtime.v2.task/${namespace}`;

async function topics(lab: TaskLab, until: string): Promise<string[]> {
  const all = (): string[] => lab.seen.map(({ topic }) => topic);
  while (!all().includes(until)) await delay(10);
  return all();
}

async function gone(folder: string): Promise<void> {
  while ((await shimsOf(folder)).length > 0) await delay(20);
}

t.test("a task runs from create() to delete() and tells its exit code", async (t) => {
  await using lab = await taskLab();
  const { tasks, folder } = lab;
  const stdout = join(folder, "out");
  await writeFile(stdout, "");
  const io = { stdin: "", stdout: `file://${stdout}`, stderr: `file://${stdout}`, terminal: false };
  const pid = await tasks.create(lab.request("one", ["sh", "-c", "echo hello; exit 7"], { io }));
  t.ok(pid > 1);
  t.equal((await tasks.state(init("one"))).status, "created");
  t.match(tasks.list(namespace), [{ id: "one", pid }]);
  t.same(tasks.list("others"), []);
  await t.rejects(tasks.create(lab.request("one", ["true"])), {
    code: "ALREADY_EXISTS",
    message: "task one",
  });
  const waiting = tasks.wait(init("one"));
  t.equal(await tasks.start(init("one")), pid);
  t.match(await waiting, { pid, exitStatus: 7 });
  t.match(await tasks.state(init("one")), { status: "stopped", exitStatus: 7 });
  const exit = await tasks.delete(init("one"));
  t.match(exit, { pid, exitStatus: 7 });
  t.ok((exit.exitedAt ?? 0n) > 0n);
  t.equal(await readFile(stdout, "utf8"), "hello\n");
  await t.rejects(tasks.state(init("one")), { code: "NOT_FOUND", message: "task one" });
  t.same(await topics(lab, "/tasks/delete"), [
    "/tasks/create",
    "/tasks/start",
    "/tasks/exit",
    "/tasks/delete",
  ]);
  await gone(folder);
  t.same(await readdir(join(folder, bundles)), []);
  t.same(await readdir(join(folder, `root/io.containerd.runtime.v2.task/${namespace}`)), []);
  t.notOk((await readMountInfo()).some(({ target }) => target.startsWith(join(folder, "state"))));
});

t.test("a running task takes execs, signals, pauses and limits", async (t) => {
  await using lab = await taskLab();
  const { tasks, folder } = lab;
  await tasks.create(lab.request("one", ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"]));
  await t.rejects(tasks.delete({ namespace, id: "two" }), { code: "NOT_FOUND" });
  await tasks.start(init("one"));
  const exec = { ...init("one"), execId: "more" };
  const stdout = `file://${join(folder, "out")}`;
  await tasks.exec({
    ...exec,
    spec: jsonValue("Process", processOf(["sh", "-c", "echo more; exit 5"])),
    io: { stdin: "", stdout, stderr: stdout, terminal: false },
  });
  const waiting = tasks.wait(exec);
  t.ok((await tasks.start(exec)) > 1);
  t.match(await waiting, { exitStatus: 5 });
  t.match(await tasks.state(exec), { id: "more", status: "stopped", exitStatus: 5 });
  t.match(await tasks.deleteProcess(exec), { exitStatus: 5 });
  await t.rejects(tasks.state(exec), { code: "NOT_FOUND" });
  await t.rejects(tasks.deleteProcess(init("one")), { code: "FAILED_PRECONDITION" });
  await t.rejects(
    tasks.exec({
      ...exec,
      execId: "../x",
      spec: undefined,
      io: { stdin: "", stdout: "", stderr: "", terminal: false },
    }),
    {
      code: "INVALID_ARGUMENT",
    },
  );
  t.equal(await readFile(join(folder, "out"), "utf8"), "more\n");
  t.ok((await tasks.pids(init("one"))).length >= 1);
  t.match((await tasks.metrics(init("one"))).data.typeUrl, /^io\.containerd\.cgroups\.v[12]\.Metrics$/);
  await tasks.pause(init("one"));
  t.equal((await tasks.state(init("one"))).status, "paused");
  await tasks.resume(init("one"));
  t.equal((await tasks.state(init("one"))).status, "running");
  await t.rejects(tasks.delete(init("one")), { message: "cannot delete a running process" });
  await tasks.kill({ ...init("one"), signalNumber: 15, all: false });
  t.match(await tasks.wait(init("one")), { exitStatus: 3 });
  await tasks.delete(init("one"));
  await topics(lab, "/tasks/delete");
  for (const topic of ["/tasks/exec-added", "/tasks/exec-started", "/tasks/paused", "/tasks/resumed"]) {
    t.ok(
      lab.seen.some((one) => one.topic === topic),
      topic,
    );
  }
});

t.test("wait() and events tell the end of a task whose shim was killed", async (t) => {
  await using lab = await taskLab();
  const { tasks, folder } = lab;
  const pid = await tasks.create(lab.request("one", ["sleep", "1000"]));
  await tasks.start(init("one"));
  const [shim] = await shimsOf(folder);
  const waiting = tasks.wait(init("one"));
  process.kill(shim!, "SIGKILL");
  t.match(await waiting, { pid, exitStatus: 137 });
  await topics(lab, "/tasks/delete");
  t.same(tasks.list(), []);
  // Ended, and perhaps not taken notice of by whoever is the parent of orphans here.
  t.equal(await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""), "");
  t.same(await readdir(join(folder, bundles)), []);
  t.notOk((await readMountInfo()).some(({ target }) => target.startsWith(join(folder, "state"))));
  await tasks.create(lab.request("one", ["true"]));
  await tasks.start(init("one"));
  t.match(await tasks.wait(init("one")), { exitStatus: 0 });
  await tasks.delete(init("one"));
});

t.test("a manager that is opened again has the tasks of the one before", async (t) => {
  await using lab = await taskLab();
  const stdin = join(lab.folder, "in");
  execFileSync("mkfifo", [stdin]);
  const stdout = join(lab.folder, "out");
  execFileSync("mkfifo", [stdout]);
  const output = readFile(stdout, "utf8");
  const stderr = `${stdout}.err`;
  execFileSync("mkfifo", [stderr]);
  // The shim waits in create() for a reader of each.
  const errors = readFile(stderr, "utf8");
  const io = { stdin, stdout, stderr, terminal: false };
  const pid = await lab.tasks.create(
    lab.request("reads", ["sh", "-c", "read a; echo got $a; exit 9"], { io }),
  );
  await lab.tasks.start(init("reads"));
  await lab.tasks.create(lab.request("ends", ["sh", "-c", "exit 4"]));
  await lab.tasks.create(lab.request("dies", ["sleep", "1000"]));
  await lab.tasks.start(init("dies"));
  await lab.tasks.start(init("ends"));
  await lab.tasks.wait(init("ends"));
  await lab.tasks.close();
  const dead = (await shimsOf(join(lab.folder, bundles, "dies")))[0]!;
  process.kill(dead, "SIGKILL");
  const tasks = await lab.reopen();
  t.same(
    tasks.list().map(({ id }) => id),
    ["ends", "reads"],
  );
  t.match(tasks.list()[1], {
    pid,
    bundle: join(lab.folder, bundles, "reads"),
  });
  t.match(await tasks.wait(init("ends")), { exitStatus: 4 });
  const waiting = tasks.wait(init("reads"));
  await writeFile(stdin, "words\n");
  t.match(await waiting, { pid, exitStatus: 9 });
  t.equal(await output, "got words\n");
  t.equal(await errors, "");
  t.match(await tasks.delete(init("reads")), { exitStatus: 9 });
  t.match(await tasks.delete(init("ends")), { exitStatus: 4 });
  await gone(lab.folder);
});

t.test("tasks of a sandbox share its shim", async (t) => {
  await using lab = await taskLab();
  const { tasks, folder } = lab;
  await tasks.create(lab.request("pod", ["sleep", "1000"]));
  await tasks.start(init("pod"));
  const change = { sandboxId: "pod" };
  await tasks.create(lab.request("member", ["sh", "-c", "exit 6"], change));
  t.equal((await shimsOf(folder)).length, 1);
  await tasks.start(init("member"));
  t.match(await tasks.wait(init("member")), { exitStatus: 6 });
  t.match(tasks.list(), [
    { id: "pod", sandboxId: "" },
    { id: "member", sandboxId: "pod" },
  ]);
  t.match(await tasks.delete(init("member")), { exitStatus: 6 });
  t.equal((await tasks.state(init("pod"))).status, "running");
  await t.rejects(tasks.create(lab.request("lost", ["true"], { sandboxId: "nobody" })), {
    code: "NOT_FOUND",
    message: /can't find sandbox nobody/,
  });
  const annotations = { "io.kubernetes.cri.sandbox-id": "pod" };
  await tasks.create(lab.request("grouped", [], { spec: jsonValue("Spec", specOf(["true"], annotations)) }));
  t.ok((await shimsOf(folder)).length <= 2);
});

t.test("create() refuses what can't be run and leaves nothing", async (t) => {
  await using lab = await taskLab();
  const { tasks, folder } = lab;
  const cases = [
    {
      change: { runtime: "io.containerd.nowhere.v1" },
      code: "FAILED_PRECONDITION",
      message: /binary not installed "containerd-shim-nowhere-v1"/,
    },
    { change: { runtime: "some/where" }, code: "INVALID_ARGUMENT", message: /invalid runtime name/ },
    {
      change: { runtime: "/nowhere/shim" },
      code: "FAILED_PRECONDITION",
      message: /invalid custom binary path/,
    },
    { change: { id: "a/b" }, code: "INVALID_ARGUMENT", message: /invalid task id/ },
    {
      change: { spec: { typeUrl: "x", value: Buffer.from("{ no json") } },
      code: "UNKNOWN",
      message: /failed to/,
    },
    {
      change: { rootfs: [{ type: "bind", source: "/nowhere", target: "", options: ["bind"] }] },
      code: "UNKNOWN",
      message: /failed to create shim task/,
    },
    {
      change: { spec: jsonValue("Spec", specOf(["nothing"])), id: "missing-program" },
      code: "UNKNOWN",
      message: /nothing/,
    },
  ];
  for (const { change, code, message } of cases) {
    const failing = (async () => {
      await tasks.create(lab.request("bad", ["true"], change));
    })();
    await t.rejects(failing, { code, message }, JSON.stringify(Object.keys(change)));
  }
  t.same(tasks.list(), []);
  await gone(folder);
  t.same(await readdir(join(folder, bundles)), []);
  t.notOk((await readMountInfo()).some(({ target }) => target.startsWith(join(folder, "state"))));
});
