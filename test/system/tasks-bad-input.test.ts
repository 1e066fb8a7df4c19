import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  constants,
  copyFile,
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  rm,
  symlink,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { Tasks } from "../../gen/containerd/services/tasks/v1/tasks_pb.js";
import { buildSpec, withArgs } from "../../src/spec/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const NAMESPACE = `bad-${process.pid}`;
const SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const headers = { "containerd-namespace": NAMESPACE };

t.setTimeout(120_000);

interface Lab extends AsyncDisposable {
  readonly folder: string;
  readonly address: string;
  readonly tasks: Client<typeof Tasks>;
  /** Makes a container whose spec is these bytes. */
  container(id: string, spec: string): Promise<void>;
  /** A spec that runs `sh -c line` in busybox. */
  specOf(id: string, line: string): string;
  /** Names that are left of tasks. */
  bundles(): Promise<string[]>;
}

async function startLab(): Promise<Lab> {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bad-tasks-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => rm(`/run/containerd/runc/${NAMESPACE}`, { recursive: true, force: true }));
  const rootfs = join(folder, "rootfs");
  for (const name of ["bin", "proc", "dev", "sys", "run"])
    await mkdir(join(rootfs, name), { recursive: true });
  await copyFile("/bin/busybox", join(rootfs, "bin/busybox"));
  for (const name of ["sh", "sleep", "yes", "true"]) await symlink("busybox", join(rootfs, "bin", name));
  const daemon = await startDaemon({ folder });
  cleanup.add(() => daemon.stop());
  const transport = socketTransport(daemon.address);
  const containers = createClient(Containers, transport);
  const tasks = createClient(Tasks, transport);
  const container = async (id: string, spec: string): Promise<void> => {
    await containers.create(
      {
        container: {
          id,
          runtime: { name: "io.containerd.runc.v2" },
          spec: { typeUrl: SPEC_TYPE, value: Buffer.from(spec) },
        },
      },
      { headers },
    );
    cleanup.add(async () => {
      const words = ["--address", daemon.address, "--namespace", NAMESPACE, "tasks", "rm", "-f", id];
      await command("ctr", words, { allow: [0, 1] });
    });
  };
  const specOf = (id: string, line: string): string => {
    const options = [withArgs(["/bin/sh", "-c", line])];
    const spec = buildSpec({ id, namespace: NAMESPACE, options });
    return JSON.stringify({ ...spec, root: { path: rootfs } });
  };
  const place = join(folder, "state/io.containerd.runtime.v2.task", NAMESPACE);
  const bundles = async (): Promise<string[]> => await readdir(place).catch(() => []); // No task was ever made.
  return {
    folder,
    address: daemon.address,
    tasks,
    container,
    specOf,
    bundles,
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
}

t.test("a malformed spec fails its own task, clearly, and leaves nothing", async (t) => {
  await using lab = await startLab();
  const good = JSON.parse(lab.specOf("x", "true")) as Record<string, unknown>;
  const process = good["process"] as object;
  const malformed: Record<string, string> = {
    "no-json": "{",
    empty: "{}",
    list: "[]",
    "no-process": JSON.stringify({ ...good, process: undefined }),
    "no-args": JSON.stringify({ ...good, process: { ...process, args: [] } }),
    "no-root": JSON.stringify({ ...good, root: { path: "/nowhere/at/all" } }),
    "no-program": JSON.stringify({ ...good, process: { ...process, args: ["/bin/none"] } }),
    "odd-types": JSON.stringify({ ...good, mounts: "none" }),
    "odd-capability": JSON.stringify({
      ...good,
      linux: { ...(good["linux"] as object), namespaces: [{ type: "odd" }] },
    }),
  };
  for (const [id, spec] of Object.entries(malformed)) {
    await lab.container(id, spec);
    const made = lab.tasks.create({ containerId: id }, { headers });
    const failed = made
      .then(() => lab.tasks.start({ containerId: id }, { headers }))
      .catch((thrown) => thrown);
    const error = await failed;
    t.ok(error instanceof ConnectError && error.rawMessage.length > 10, `${id}: ${(error as Error).message}`);
    // A task that was made and did not start is its client's to delete.
    await lab.tasks.delete({ containerId: id }, { headers }).catch(() => undefined);
  }
  t.same(await lab.bundles(), [], "no bundle is left");
  await lab.container("good", lab.specOf("good", "exit 4"));
  await lab.tasks.create({ containerId: "good" }, { headers });
  const ended = lab.tasks.wait({ containerId: "good" }, { headers });
  await lab.tasks.start({ containerId: "good" }, { headers });
  t.equal((await ended).exitStatus, 4, "the next one runs");
  await lab.tasks.delete({ containerId: "good" }, { headers });
});

t.test("a FIFO that nobody reads holds its own container back, which can be killed", async (t) => {
  await using lab = await startLab();
  const stdout = join(lab.folder, "full");
  await command("mkfifo", [stdout]);
  // Open for both, so that the shim finds a reader; it reads nothing.
  await using reader = await openFile(stdout, constants.O_RDWR | constants.O_NONBLOCK);
  t.ok(reader.fd > 0);
  await lab.container("full", lab.specOf("full", "exec yes"));
  await lab.tasks.create({ containerId: "full", stdout, stderr: stdout }, { headers });
  const ended = lab.tasks.wait({ containerId: "full" }, { headers });
  await lab.tasks.start({ containerId: "full" }, { headers });
  await lab.container("beside", lab.specOf("beside", "exit 5"));
  await lab.tasks.create({ containerId: "beside" }, { headers });
  const besideEnded = lab.tasks.wait({ containerId: "beside" }, { headers });
  await lab.tasks.start({ containerId: "beside" }, { headers });
  t.equal((await besideEnded).exitStatus, 5);
  await lab.tasks.delete({ containerId: "beside" }, { headers });
  await lab.tasks.kill({ containerId: "full", signal: 9 }, { headers });
  t.equal((await ended).exitStatus, 137);
  await lab.tasks.delete({ containerId: "full" }, { headers });
  t.same(await lab.bundles(), []);
});

t.test("clients that vanish in the middle of calls leave the task as it is", async (t) => {
  await using lab = await startLab();
  await lab.container("stays", lab.specOf("stays", "exec sleep 1000"));
  await lab.tasks.create({ containerId: "stays" }, { headers });
  await lab.tasks.start({ containerId: "stays" }, { headers });
  const words = ["--address", lab.address, "--namespace", NAMESPACE];
  for (const rest of [
    ["events"],
    ["tasks", "attach", "stays"],
    ["tasks", "exec", "--exec-id", "e", "stays", "sleep", "5"],
  ]) {
    const child = spawn("ctr", [...words, ...rest], { stdio: "ignore" });
    const closed = once(child, "close");
    await new Promise((resolve) => setTimeout(resolve, 500));
    child.kill("SIGKILL");
    await closed;
  }
  const waiting = Array.from({ length: 20 }, () => {
    const ending = new AbortController();
    const wait = lab.tasks.wait({ containerId: "stays" }, { headers, signal: ending.signal });
    ending.abort();
    return wait.then(
      () => "ended",
      () => "gone",
    );
  });
  t.same([...new Set(await Promise.all(waiting))], ["gone"]);
  t.equal((await lab.tasks.get({ containerId: "stays" }, { headers })).process?.status, 2, "it runs");
  const ended = lab.tasks.wait({ containerId: "stays" }, { headers });
  await lab.tasks.kill({ containerId: "stays", signal: 9, all: true }, { headers });
  t.equal((await ended).exitStatus, 137);
});
