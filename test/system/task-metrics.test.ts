import { copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { Metrics } from "../../src/daemon/metrics.js";
import { watchTasks } from "../../src/daemon/task-metrics.js";
import type { TaskManager } from "../../src/runtime/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { freePort } from "../../testing/rig/free-port.js";

const anyCode = Array.from({ length: 256 }, (_, code) => code);
const NAMESPACE = `metrics-${process.pid}`;

/** Name and names of labels of all samples of containers. */
function series(page: string): string[] {
  const found = [...page.matchAll(/^(container_\w+)\{([^}]*)\} /gm)].map(([, name, labels]) => {
    const names = [...labels!.matchAll(/(\w+)="/g)].map(([, label]) => label!).sort();
    return `${name}{${names.join(",")}}`;
  });
  return [...new Set(found)].sort();
}

t.test("/metrics has what containerd's has of a running container, and counts what there is", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-task-metrics-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => rm(`/run/containerd/runc/${NAMESPACE}`, { recursive: true, force: true }));
  const image = join(folder, "image");
  for (const name of ["bin", "proc", "dev", "sys"]) await mkdir(join(image, name), { recursive: true });
  await copyFile("/bin/busybox", join(image, "bin/busybox"));
  await symlink("busybox", join(image, "bin/sleep"));
  const metricsOf = (port: number): string => `[metrics]\naddress = "127.0.0.1:${port}"\n`;
  const [ourPort, theirPort] = [await freePort(), await freePort()];
  const ours = await startDaemon({ folder: join(folder, "ours"), config: metricsOf(ourPort) });
  cleanup.add(() => ours.stop());
  const theirs = await startContainerd({ folder: join(folder, "theirs"), config: metricsOf(theirPort) });
  cleanup.add(() => theirs.stop());
  const ctr = async (address: string, ...args: string[]) =>
    await command("ctr", ["--address", address, "-n", NAMESPACE, ...args], { allow: anyCode });
  const [one, two] = [`one-${process.pid}`, `two-${process.pid}`];
  for (const [address, id] of [
    [ours.address, one],
    [theirs.address, two],
  ] as const) {
    cleanup.add(async () => void (await ctr(address, "task", "rm", "-f", id)));
    t.equal((await ctr(address, "run", "-d", "--rootfs", image, id, "/bin/sleep", "1000")).code, 0);
  }
  const page = async (url: string): Promise<string> => await (await fetch(url)).text();
  const theirPage = await page(`http://127.0.0.1:${theirPort}/v1/metrics`);
  const ourPage = await page(`http://127.0.0.1:${ourPort}/metrics`);
  t.ok(series(theirPage).length > 50);
  t.same(series(ourPage), series(theirPage));
  for (const [name, labels] of [
    ["tasks", `namespace="${NAMESPACE}",status="running"`],
    ["containers", `namespace="${NAMESPACE}"`],
  ] as const) {
    t.ok(ourPage.includes(`\nlazuli_${name}{${labels}} 1\n`), name);
  }
  t.match(ourPage, /^lazuli_namespaces \d+$/m);
});

t.test("watchTasks() leaves a task out whose shim does not answer", async (t) => {
  const metrics = new Metrics();
  const wait = (_name: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<never>((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason as Error)),
    );
  const held = (id: string) => ({ namespace: "n", id, bundle: "/b", pid: 1, sandboxId: "" });
  const tasks = {
    list: () => [held("hung"), held("paused")],
    state: async (name, options) =>
      name.id === "hung" ? await wait(name, options as never) : ({ status: "paused" } as never),
    metrics: async ({ id }) => ({
      namespace: "n",
      id,
      timestamp: 0n,
      data: { typeUrl: "another", value: new Uint8Array() },
    }),
  } satisfies Pick<TaskManager, "list" | "state" | "metrics">;
  watchTasks(metrics, { tasks, runtimeOf: () => "r" });
  // The limit's own timer keeps no process alive.
  const alive = setInterval(() => undefined, 1000);
  const text = await metrics.page().finally(() => clearInterval(alive));
  t.match(text, /lazuli_tasks\{namespace="n",status="unknown"\} 1\n/);
  t.match(text, /lazuli_tasks\{namespace="n",status="paused"\} 1\n/);
  t.notMatch(text, /container_/);
});
