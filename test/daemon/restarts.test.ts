import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { ContentStore, NamespacedContent } from "../../src/content/index.js";
import { startRestarts } from "../../src/daemon/restarts.js";
import { notFound } from "../../src/errors/index.js";
import { createEventExchange } from "../../src/events/index.js";
import { ContainerTable, openMetadata } from "../../src/metadata/index.js";
import type { TaskManager } from "../../src/runtime/index.js";
import type { NamespacedSnapshotter, Snapshotter } from "../../src/snapshotters/index.js";

const mounts = [{ type: "bind", source: "/s", target: "", options: ["rbind"] }];
const terminalSpec = JSON.stringify({ process: { terminal: true } });

/** A manager with one task that has ended; `isStuck`: its kill fails. */
function fakeTasks({ isStuck }: { readonly isStuck: boolean }) {
  const calls: unknown[] = [];
  let isHeld = true;
  let isStarted: (() => void) | undefined;
  const started = new Promise<void>((resolve) => {
    isStarted = resolve;
  });
  const exit = { pid: 7, exitStatus: 137, exitedAt: 1n };
  const known = (): void => {
    if (!isHeld) throw notFound("task c not found", { reason: "task-missing" });
  };
  const tasks = {
    state: async () => {
      known();
      const io = { stdin: "", stdout: "", stderr: "", terminal: false };
      return { id: "c", pid: 7, status: "stopped", io, exitStatus: 1, exitedAt: 1n };
    },
    wait: async () => exit,
    kill: async (request) => {
      calls.push(["kill", request.signalNumber, request.all]);
      if (isStuck) throw notFound("process already finished", { reason: "shim-refused" });
    },
    delete: async () => {
      known();
      isHeld = false;
      calls.push(["delete"]);
      return exit;
    },
    create: async (request) => {
      calls.push(["create", request]);
      return 8;
    },
    start: async (name) => {
      calls.push(["start", name]);
      isStarted?.();
      return 8;
    },
  } as Partial<TaskManager> as TaskManager;
  return { tasks, calls, started };
}

async function restarted(
  t: { teardown: (run: () => Promise<void>) => void },
  options: { readonly isStuck: boolean; readonly logUri: string },
): Promise<{ calls: unknown[]; topics: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-restarts-"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  t.teardown(async () => {
    await metadata.close();
    await rm(folder, { recursive: true });
  });
  const now = (): bigint => 1n;
  const loguri = options.logUri === "" ? {} : { "containerd.io/restart.loguri": options.logUri };
  await new ContainerTable({ metadata, now }).create({
    namespace: "n",
    id: "c",
    labels: { "containerd.io/restart.status": "running", ...loguri },
    image: "",
    runtime: { name: "io.containerd.runc.v2", options: undefined },
    spec: { typeUrl: "spec", value: Buffer.from(terminalSpec) },
    snapshotter: "overlayfs",
    snapshotKey: "key",
    extensions: {},
    sandboxId: "",
  });
  const { tasks, calls, started } = fakeTasks(options);
  const snapshotter = { mounts: async () => mounts } as Partial<Snapshotter> as Snapshotter;
  const served = { for: () => snapshotter } as Partial<NamespacedSnapshotter> as NamespacedSnapshotter;
  const events = createEventExchange({ now });
  const ending = new AbortController();
  const topics: string[] = [];
  const listening = (async () => {
    for await (const { topic } of events.subscribe([], { signal: ending.signal })) topics.push(topic);
  })();
  const snapshotters = new Map([["overlayfs", served]]);
  const content = { for: () => ({}) as ContentStore } as Partial<NamespacedContent> as NamespacedContent;
  const restarts = startRestarts({ metadata, tasks, snapshotters, events, content, intervalMs: 10_000, now });
  await started;
  await restarts[Symbol.asyncDispose]();
  ending.abort();
  await listening;
  return { calls, topics };
}

t.test("startRestarts() ends the old task and starts a new one with the container's snapshot", async (t) => {
  const { calls, topics } = await restarted(t, { isStuck: false, logUri: "file:///log" });
  t.match(calls, [
    ["kill", 9, true],
    ["delete"],
    [
      "create",
      {
        namespace: "n",
        id: "c",
        runtime: "io.containerd.runc.v2",
        rootfs: mounts,
        io: { stdin: "", stdout: "file:///log", stderr: "file:///log", terminal: true },
      },
    ],
    ["start", { namespace: "n", id: "c", execId: "" }],
  ]);
  t.same(topics, ["/containers/update"]);
});

t.test(
  "startRestarts() deletes a task that can't be killed any more, and lets output go nowhere",
  async (t) => {
    const { calls } = await restarted(t, { isStuck: true, logUri: "" });
    t.match(calls, [
      ["kill", 9, true],
      ["delete"],
      ["create", { io: { stdout: "", stderr: "", terminal: false } }],
      ["start", { execId: "" }],
    ]);
  },
);
