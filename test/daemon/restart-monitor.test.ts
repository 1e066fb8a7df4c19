import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type RestartTasks, reconcile, startRestartMonitor } from "../../src/daemon/restart-monitor.js";
import { restartChange, type TaskState, type TaskStatus } from "../../src/daemon/restart-policy.js";
import { notFound } from "../../src/errors/index.js";
import { ContainerTable, NamespaceTable, openMetadata } from "../../src/metadata/index.js";

const invalidPolicy = { name: "LazuliError", reason: "restart-policy-invalid" };
const label = (word: string): string => `containerd.io/restart.${word}`;
const labels = (words: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(words).map(([word, value]) => [label(word), value]));
const task = (state: TaskState, exitStatus = 0): TaskStatus => ({ state, exitStatus });

t.test("restartChange() starts and stops what its labels want running or stopped", async (t) => {
  const running = labels({ status: "running" });
  const stopped = labels({ status: "stopped" });
  t.same(restartChange(running, undefined), { kind: "start", count: 1, logUri: "" });
  t.same(restartChange(running, task("stopped", 0)), { kind: "start", count: 1, logUri: "" });
  t.same(restartChange(running, task("created")), { kind: "start", count: 1, logUri: "" });
  for (const state of ["running", "paused", "pausing"] as const) {
    t.equal(restartChange(running, task(state)), undefined, state);
  }
  t.equal(restartChange(stopped, undefined), undefined);
  t.equal(restartChange(stopped, task("stopped")), undefined);
  t.same(restartChange(stopped, task("running")), { kind: "stop" });
  t.same(restartChange(stopped, task("paused")), { kind: "stop" });
  t.equal(restartChange(labels({ status: "paused" }), task("running")), undefined);
  t.equal(restartChange(labels({ status: "odd" }), undefined), undefined);
  const more = labels({ status: "running", count: "3", loguri: "file:///l" });
  t.same(restartChange(more, undefined), { kind: "start", count: 4, logUri: "file:///l" });
});

t.test("restartChange() follows the policy", async (t) => {
  const starts = (words: Record<string, string>, status: TaskStatus | undefined): boolean =>
    restartChange(labels({ status: "running", ...words }), status) !== undefined;
  const [clean, failed] = [task("stopped", 0), task("stopped", 2)];
  t.ok(starts({ policy: "" }, clean));
  t.ok(starts({ policy: "always" }, clean));
  t.notOk(starts({ policy: "no" }, failed));
  t.ok(starts({ policy: "on-failure" }, failed));
  t.notOk(starts({ policy: "on-failure" }, clean));
  t.notOk(starts({ policy: "on-failure" }, undefined), "nobody knows how it ended");
  t.ok(starts({ policy: "on-failure:2", count: "1" }, failed));
  t.notOk(starts({ policy: "on-failure:2", count: "2" }, failed));
  t.ok(starts({ policy: "on-failure:0", count: "9" }, failed));
  t.ok(starts({ policy: "unless-stopped" }, clean));
  t.ok(starts({ policy: "unless-stopped", "explicitly-stopped": "false" }, clean));
  t.notOk(starts({ policy: "unless-stopped", "explicitly-stopped": "true" }, clean));
  for (const policy of ["always:3", "on-failure:x", "on-failure:1:2", "sometimes"]) {
    t.throws(() => starts({ policy }, failed), invalidPolicy, policy);
  }
  t.throws(() => starts({ policy: "on-failure:3", count: "many" }, failed), invalidPolicy);
});

async function rig(t: { teardown: (run: () => Promise<void>) => void }) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-restart-"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  t.teardown(async () => {
    await metadata.close();
    await rm(folder, { recursive: true });
  });
  const now = (): bigint => 1n;
  const containers = new ContainerTable({ metadata, now });
  const make = async (namespace: string, id: string, words: Record<string, string>): Promise<void> => {
    await containers.create({
      namespace,
      id,
      labels: { kept: "1", ...labels(words) },
      image: "",
      runtime: { name: "r", options: undefined },
      spec: { typeUrl: "s", value: new Uint8Array() },
      snapshotter: "",
      snapshotKey: "",
      extensions: {},
      sandboxId: "",
    });
  };
  return { containers, namespaces: new NamespaceTable({ metadata, now }), make };
}

t.test("reconcile() counts and starts again, and goes on when one fails", async (t) => {
  const { containers, namespaces, make } = await rig(t);
  await make("a", "bad", { status: "running", policy: "odd" });
  await make("a", "gone", { status: "running" });
  await make("b", "again", { status: "running", count: "1", loguri: "file:///log" });
  await make("b", "over", { status: "stopped" });
  await make("b", "fine", { status: "running" });
  await make("b", "unwatched", {});
  const done: string[] = [];
  const updated: string[] = [];
  const states: Record<string, TaskState> = { fine: "running", over: "running", again: "stopped" };
  const tasks: RestartTasks = {
    status: async ({ id }) => {
      const state = states[id];
      return state === undefined ? undefined : { state, exitStatus: 1 };
    },
    end: async ({ id }) => {
      done.push(`end ${id}`);
      if (id === "again") throw notFound("Cannot end it: it is gone", { reason: "task-missing" });
    },
    start: async ({ container, logUri }) => {
      if (container.id === "gone") throw notFound("Cannot start it: no snapshot", { reason: "test" });
      done.push(`start ${container.id} ${logUri} ${container.labels[label("count")]}`);
    },
  };
  const signal = new AbortController().signal;
  const imageLabels = async (): Promise<Record<string, unknown>> => ({});
  const onUpdated = ({ id }: { readonly id: string }): number => updated.push(id);
  await reconcile({ containers, namespaces, tasks, imageLabels, onUpdated }, { signal });
  t.same(done.sort(), ["end again", "end gone", "end over", "start again file:///log 2"]);
  t.same(updated.sort(), ["again", "gone"]);
  t.match(containers.get({ namespace: "b", id: "again" }).labels, { kept: "1", [label("count")]: "2" });
});

t.test("startRestartMonitor() looks at once and ends when it is disposed of", async (t) => {
  const { containers, namespaces, make } = await rig(t);
  await make("a", "one", { status: "running" });
  let isStarted: (() => void) | undefined;
  const started = new Promise<void>((resolve) => {
    isStarted = resolve;
  });
  const monitor = startRestartMonitor({
    containers,
    namespaces,
    tasks: {
      status: async () => undefined,
      end: async () => undefined,
      start: async () => isStarted?.(),
    },
    imageLabels: async () => ({}),
    onUpdated: () => undefined,
  });
  await started;
  await monitor[Symbol.asyncDispose]();
  t.equal(containers.get({ namespace: "a", id: "one" }).labels[label("count")], "1");
});

t.test(
  "reconcile() obeys no label that the image brought, and no program where the image is not known",
  async (t) => {
    const { containers, namespaces, make } = await rig(t);
    const program = "binary:///bin/of-the-image";
    await make("a", "brought", { status: "running", loguri: program });
    await make("a", "partly", { status: "running", loguri: program });
    await make("a", "own", { status: "running", loguri: program });
    await make("a", "unknown", { status: "running", loguri: program });
    const imagesLabels: Record<string, Record<string, string> | undefined> = {
      brought: labels({ status: "running", loguri: program }),
      partly: labels({ loguri: program }),
      own: labels({ loguri: "binary:///bin/another" }),
    };
    const started: string[] = [];
    const tasks: RestartTasks = {
      status: async () => undefined,
      end: async () => undefined,
      start: async ({ container, logUri }) => {
        started.push(`${container.id} ${logUri}`);
      },
    };
    const imageLabels: (one: { readonly id: string }) => Promise<Record<string, string> | undefined> =
      async ({ id }) => imagesLabels[id];
    await reconcile(
      { containers, namespaces, tasks, imageLabels, onUpdated: () => undefined },
      { signal: new AbortController().signal },
    );
    t.same(started.sort(), [`own ${program}`, "partly ", "unknown "]);
  },
);
