import { copyFile, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEventExchange, type EventEnvelope, type EventExchange } from "../../src/events/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import {
  type CreateTask,
  openTaskManager,
  type RuntimeTimeouts,
  serveShimEvents,
  type TaskManager,
} from "../../src/runtime/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";

export interface TaskLab extends AsyncDisposable {
  readonly folder: string;
  readonly tasks: TaskManager;
  readonly events: EventExchange;
  readonly seen: EventEnvelope[];
  /** Closes the manager and opens another one on the same folders, as a restart does. */
  reopen(timeouts?: Partial<RuntimeTimeouts>): Promise<TaskManager>;
  request(id: string, command: readonly string[], change?: Partial<CreateTask>): CreateTask;
}

/** runc keeps its state by namespace and id, whatever the folders are. */
export const namespace = `tests-${process.pid}`;
const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** A task manager with a root file system of busybox. Disposing ends the tasks that are left. */
export async function taskLab(timeouts: Partial<RuntimeTimeouts> = {}): Promise<TaskLab> {
  const cleanup = new Cleanup();
  cleanup.add(() => rm(`/run/containerd/runc/${namespace}`, { recursive: true, force: true }));
  const folder = await mkdtemp(join(tmpdir(), "lazuli-runtime-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const image = join(folder, "image");
  for (const name of ["bin", "proc", "dev", "tmp"]) await mkdir(join(image, name), { recursive: true });
  await copyFile("/bin/busybox", join(image, "bin/busybox"));
  for (const name of ["sh", "sleep", "cat", "echo", "true"])
    await symlink("busybox", join(image, "bin", name));
  const events = createEventExchange({ now });
  const eventsAddress = join(folder, "d.sock.ttrpc");
  const server = await serveShimEvents({ socketPath: eventsAddress, mode: 0o600, events });
  cleanup.add(() => server.close());
  const ending = new AbortController();
  cleanup.add(() => ending.abort());
  const seen: EventEnvelope[] = [];
  const listen = async (): Promise<void> => {
    for await (const envelope of events.subscribe([], { signal: ending.signal })) seen.push(envelope);
  };
  void listen();
  const open = (limits: Partial<RuntimeTimeouts>): Promise<TaskManager> =>
    openTaskManager({
      folders: { root: join(folder, "root"), state: join(folder, "state") },
      address: join(folder, "d.sock"),
      eventsAddress,
      daemonProgram: process.execPath,
      version: "2.0.0",
      isDebug: false,
      binding: loadBinding(),
      timeouts: limits,
      events,
      now,
    });
  const lab = {
    folder,
    events,
    seen,
    tasks: await open(timeouts),
    reopen: async (limits = timeouts) => {
      await lab.tasks.close();
      lab.tasks = await open(limits);
      return lab.tasks;
    },
    request: (id: string, command: readonly string[], change: Partial<CreateTask> = {}) => ({
      namespace,
      id,
      runtime: "io.containerd.runc.v2",
      runtimeOptions: undefined,
      taskOptions: undefined,
      spec: jsonValue("Spec", specOf(command)),
      rootfs: [{ type: "bind", source: image, target: "", options: ["rbind", "ro"] }],
      io: { stdin: "", stdout: "", stderr: "", terminal: false },
      checkpointFolder: "",
      sandboxId: "",
      sandboxAddress: "",
      ...change,
    }),
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
  cleanup.add(async () => {
    await lab.reopen({});
    for (const task of lab.tasks.list()) {
      const process = { ...task, execId: "" };
      // What has ended already can't be killed.
      await lab.tasks.kill({ ...process, signalNumber: 9, all: true }).catch(() => undefined);
      await lab.tasks.wait(process).catch(() => undefined);
      await lab.tasks.delete(task).catch(() => undefined);
    }
    await lab.tasks.close();
  });
  return lab;
}

/** A value of the runtime specification as clients pack it. */
export function jsonValue(type: "Spec" | "Process", value: unknown) {
  const typeUrl = `types.containerd.io/opencontainers/runtime-spec/1/${type}`;
  return { typeUrl, value: new TextEncoder().encode(JSON.stringify(value)) };
}

export function processOf(args: readonly string[]) {
  const sets = ["CAP_KILL"];
  return {
    args,
    cwd: "/",
    env: ["PATH=/bin"],
    user: { uid: 0, gid: 0 },
    capabilities: { bounding: sets, effective: sets, permitted: sets },
  };
}

export function specOf(args: readonly string[], annotations: Readonly<Record<string, string>> = {}) {
  return {
    ociVersion: "1.0.2",
    process: processOf(args),
    root: { path: "rootfs", readonly: true },
    annotations,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
    ],
    linux: {
      namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
      cgroupsPath: `/lazuli-tests/${process.pid}-${cgroups++}`,
    },
  };
}

let cgroups = 0;

/** Shims that run for bundles below a folder: their current folder is the bundle. */
export async function shimsOf(folder: string): Promise<number[]> {
  const pids: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const place = await readlink(`/proc/${name}/cwd`).catch(() => "");
    if (!place.startsWith(folder)) continue;
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (command.includes("-namespace")) pids.push(Number(name));
  }
  return pids;
}
