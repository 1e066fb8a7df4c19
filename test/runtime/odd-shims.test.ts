import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import type { FakeShim } from "./fake-shim.js";
import { namespace, shimsOf, type TaskLab, taskLab } from "./lab.js";

// Each fake shim is a Node of its own, on machines with two cores.
t.setTimeout(120_000);

const one = { namespace, id: "one", execId: "" };
const timeouts = {
  startMs: 2000,
  loadMs: 2000,
  cleanupMs: 3000,
  shutdownMs: 300,
  stateMs: 300,
  statsMs: 300,
  callMs: 500,
};
const plain: FakeShim = { form: "json", protocol: "ttrpc", version: 3, serves: 3 };

async function withShim(lab: TaskLab, mode: FakeShim) {
  process.env.FAKE_SHIM = JSON.stringify(mode);
  const runtime = join(lab.folder, `shim-${mode.needsParams === true ? "new" : "any"}`);
  const script = fileURLToPath(new URL("fake-shim.js", import.meta.url));
  await writeFile(runtime, `#!/bin/sh\nexec "${process.execPath}" "${script}" "$@"\n`, { mode: 0o755 });
  return lab.request("one", ["true"], { runtime, rootfs: [] });
}

t.test("create() takes each form of a shim's answer, both protocols and both versions", async (t) => {
  await using lab = await taskLab(timeouts);
  const { tasks } = lab;
  const modes: FakeShim[] = [
    { ...plain, form: "proto", needsParams: true },
    { ...plain, form: "plain", version: 2, serves: 2 },
    { ...plain, version: 3, serves: 2 },
    { ...plain, protocol: "grpc", form: "proto", version: 3, serves: 2 },
  ];
  for (const mode of modes) {
    const told = JSON.stringify(mode);
    t.equal(await tasks.create(await withShim(lab, mode)), 42, told);
    t.match(await tasks.state(one), { pid: 42, status: "running" }, told);
    t.match(await tasks.wait(one), { exitStatus: 3 }, told);
    t.match(await tasks.delete(one), { pid: 42, exitStatus: 3 }, told);
  }
});

t.test("a shim that hangs at a call fails that call by its name, and no other", async (t) => {
  await using lab = await taskLab(timeouts);
  const { tasks } = lab;
  for (const hangs of ["start", "connect", "create"]) {
    const failing = tasks.create(await withShim(lab, { ...plain, hangs }));
    const message = new RegExp(
      hangs === "connect" ? "Task/Connect" : hangs === "start" ? " start: " : "Task/Create",
    );
    await t.rejects(failing, { code: "DEADLINE_EXCEEDED", reason: "shim-slow", message }, hangs);
    t.same(tasks.list(), [], hangs);
  }
  const calls: Record<string, () => Promise<unknown>> = {
    state: () => tasks.state(one),
    pause: () => tasks.pause(one),
    delete: () => tasks.delete(one),
  };
  for (const [hangs, call] of Object.entries(calls)) {
    await tasks.create(await withShim(lab, { ...plain, hangs }));
    const message = new RegExp(`Task/${hangs}`, "i");
    await t.rejects(
      async () => void (await call()),
      { code: "DEADLINE_EXCEEDED", reason: "shim-slow", message },
      hangs,
    );
    t.match(await tasks.wait(one), { exitStatus: 3 }, hangs);
    for (const pid of await shimsOfServers(lab)) process.kill(pid, "SIGKILL");
    // Both ways the task goes: its shim is dead.
    await tasks.delete(one).catch(() => undefined);
    while (tasks.list().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

t.test("a shim that dies at a call fails it, and its task goes", async (t) => {
  await using lab = await taskLab(timeouts);
  const { tasks } = lab;
  await t.rejects(tasks.create(await withShim(lab, { ...plain, dies: "create" })), { code: "UNAVAILABLE" });
  t.same(tasks.list(), []);
  for (const protocol of ["ttrpc", "grpc"] as const) {
    await tasks.create(await withShim(lab, { ...plain, protocol, dies: "wait" }));
    t.match(await tasks.wait(one), { pid: 42, exitStatus: 137 }, protocol);
    t.same(tasks.list(), [], protocol);
  }
  t.same(await shimsOf(lab.folder), []);
});

/** Servers have no arguments of a shim's. */
async function shimsOfServers(lab: TaskLab): Promise<number[]> {
  const pids: number[] = [];
  for (const { bundle } of lab.tasks.list())
    pids.push(Number(await readFile(join(bundle, "fake.pid"), "utf8")));
  return pids;
}
