import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Code, createClient } from "@connectrpc/connect";
import t from "tap";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import {
  ContainerEventType,
  NamespaceMode,
  PodSandboxState,
  RuntimeService,
} from "../../gen/runtime/v1/api_pb.js";
import { loadBinding } from "../../src/fuse/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/socket-client.js";

// Daemons start, are killed and start again beside other tests.
t.setTimeout(240_000);

const run = promisify(execFile);
/** Interfaces of the host have at most 15 characters. */
let bridges = 0;
const MNT_DETACH = 2;

interface LabOptions {
  /** Folders of plugins before the real ones. */
  readonly plugins?: string;
  readonly config?: string;
  readonly hasNetwork?: boolean;
}

async function lab(options: LabOptions = {}) {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-pods-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  // As /run: the root of a user namespace passes through it.
  await chmod(folder, 0o711);
  bridges += 1;
  const bridge = `lzp${process.pid % 100_000}x${bridges}`;
  cleanup.add(async () => {
    await run("ip", ["link", "delete", bridge]).catch(() => undefined); // Where no pod came to be there is none.
  });
  const conf = join(folder, "net.d");
  await mkdir(conf);
  const leased = join(folder, "ipam");
  const subnet = `10.${100 + (process.pid % 100)}.${bridges * 8}.0/21`;
  const network = JSON.stringify({
    cniVersion: "1.0.0",
    name: "pods",
    plugins: [
      {
        type: "bridge",
        bridge,
        isGateway: true,
        ipam: { type: "host-local", dataDir: leased, ranges: [[{ subnet }]] },
      },
    ],
  });
  const install = () => writeFile(join(conf, "10-pods.conflist"), network);
  if (options.hasNetwork !== false) await install();
  const plugins = [...(options.plugins === undefined ? [] : [options.plugins]), "/usr/lib/cni"];
  const config = `
[cri.runtime]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[cri.cni]
bin_dirs = ${JSON.stringify(plugins)}
conf_dir = "${conf}"
${options.config ?? ""}`;
  let daemon = await startDaemon({ folder, config });
  cleanup.add(() => daemon.stop());
  const clientOf = () => createClient(RuntimeService, socketTransport(daemon.address));
  let client = clientOf();
  const result = {
    folder,
    install,
    client: () => client,
    daemon: () => daemon,
    restart: async () => {
      await killed(daemon.pid);
      daemon = await startDaemon({ folder, config });
      client = clientOf();
    },
    runPod: async (name: string, change: PodChange = {}) =>
      (await client.runPodSandbox(podRequest(name, change))).podSandboxId,
    /** What pods may have left. */
    left: async () => ({
      netns: await names(join(folder, "state/cri/netns")),
      pods: [
        ...(await names(join(folder, "root/cri/sandboxes"))),
        ...(await names(join(folder, "state/cri/sandboxes"))),
      ],
      attachments: await names(join(folder, "root/cri/networks/default")),
      addresses: (await names(join(leased, "pods"))).filter((one) => /^\d/.test(one)),
      interfaces: await members(bridge),
      bundles: await names(join(folder, "state/io.containerd.runtime.v2.task/k8s.io")),
      mounts: (await readFile("/proc/mounts", "utf8"))
        .split("\n")
        .filter((line) => line.includes(`${folder}/state/cri`)),
      shims: await processesOf(folder),
      leases: (
        await createClient(Leases, socketTransport(daemon.address)).list(
          {},
          { headers: { "containerd-namespace": "k8s.io" } },
        )
      ).leases.map(({ id }) => id),
    }),
    removeAll: async () => {
      const { items } = await client.listPodSandbox({});
      await Promise.all(items.map(({ id }) => client.removePodSandbox({ podSandboxId: id })));
    },
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
  cleanup.add(() => result.removeAll());
  return result;
}

const nothing = {
  netns: [],
  pods: [],
  attachments: [],
  addresses: [],
  interfaces: [],
  bundles: [],
  mounts: [],
  shims: [],
  leases: [],
};

interface PodChange {
  readonly runtimeHandler?: string;
  readonly namespaces?: object;
}

function podRequest(name: string, { runtimeHandler = "", namespaces = {} }: PodChange) {
  return {
    runtimeHandler,
    config: {
      metadata: { name, namespace: "default", uid: `uid-${name}`, attempt: 0 },
      hostname: name,
      dnsConfig: { servers: ["192.0.2.1"], searches: ["example"], options: [] },
      labels: { app: name },
      linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaces } } },
    },
  };
}

async function names(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []); // Nothing was made there yet.
}

async function members(bridge: string): Promise<string[]> {
  const { stdout } = await run("ip", ["-o", "link", "show", "master", bridge]).catch(() => ({ stdout: "" }));
  return stdout.split("\n").filter(Boolean);
}

async function processesOf(folder: string): Promise<string[]> {
  const { stdout } = await run("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes("containerd-shim") && line.includes(folder));
}

/** As a crash ends it: what it had mounted stays. */
async function killed(pid: number): Promise<void> {
  if (await isRunning(pid)) process.kill(pid, "SIGKILL");
  while (await isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** A process whose first thread has ended may still have its files open in others. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined); // It is gone.
  if (stat === undefined) return false;
  return !/\) Z /.test(stat) || (await names(`/proc/${pid}/task`)).length > 1;
}

async function pidOf(
  l: { client: () => ReturnType<typeof createClient<typeof RuntimeService>> },
  id: string,
) {
  const { info } = await l.client().podSandboxStatus({ podSandboxId: id, verbose: true });
  return (JSON.parse(info["info"]!) as { pid: number }).pid;
}

t.test("a pod has an address, files and a process, and its removal leaves nothing", async (t) => {
  await using l = await lab();
  const end = new AbortController();
  const events = l.client().getContainerEvents({}, { signal: end.signal })[Symbol.asyncIterator]();
  const id = await l.runPod("web");
  for (const type of [
    ContainerEventType.CONTAINER_CREATED_EVENT,
    ContainerEventType.CONTAINER_STARTED_EVENT,
  ]) {
    const { value } = await events.next();
    t.match(value, { containerId: id, containerEventType: type, podSandboxStatus: { id } });
  }
  const { status } = await l.client().podSandboxStatus({ podSandboxId: id.slice(0, 12) });
  t.equal(status?.state, PodSandboxState.SANDBOX_READY);
  t.match(status?.network?.ip, /^10\.\d+\.\d+\.\d+$/);
  const pod = join(l.folder, "root/cri/sandboxes", id);
  t.equal(await readFile(join(pod, "hostname"), "utf8"), "web\n");
  t.equal(await readFile(join(pod, "resolv.conf"), "utf8"), "search example\nnameserver 192.0.2.1\n");
  t.match(await readFile(`/proc/${await pidOf(l, id)}/comm`, "utf8"), /pause/);
  await t.rejects(l.runPod("web"), { code: Code.AlreadyExists });
  await l.client().stopPodSandbox({ podSandboxId: id });
  t.match((await events.next()).value, { containerEventType: ContainerEventType.CONTAINER_STOPPED_EVENT });
  const stopped = await l.client().podSandboxStatus({ podSandboxId: id });
  t.match(stopped.status, { state: PodSandboxState.SANDBOX_NOTREADY, network: { ip: "" } });
  await l.client().stopPodSandbox({ podSandboxId: id });
  await l.client().removePodSandbox({ podSandboxId: id });
  t.match((await events.next()).value, { containerEventType: ContainerEventType.CONTAINER_DELETED_EVENT });
  end.abort();
  t.strictSame(await l.left(), nothing);
});

t.test(
  "pods outlive a daemon that is killed while it makes and removes others, and nothing is left",
  async (t) => {
    await using l = await lab();
    const kept = await Promise.all([1, 2, 3].map((index) => l.runPod(`kept${index}`)));
    const pids = await Promise.all(kept.map((id) => pidOf(l, id)));
    for (const round of [1, 2]) {
      const removed = await l.runPod(`removed${round}`);
      const cut = Promise.allSettled([
        ...[1, 2, 3].map((index) => l.runPod(`cut${round}${index}`)),
        l.client().removePodSandbox({ podSandboxId: removed }),
      ]);
      // The kill falls at another step each time.
      await new Promise((resolve) => setTimeout(resolve, 60 * round));
      await l.restart();
      await cut;
      const { items } = await l
        .client()
        .listPodSandbox({ filter: { state: { state: PodSandboxState.SANDBOX_READY } } });
      for (const id of kept)
        t.ok(
          items.some((one) => one.id === id),
          `${id} runs on`,
        );
      t.strictSame(await Promise.all(kept.map((id) => pidOf(l, id))), pids);
      await t.rejects(l.runPod("kept1"), { code: Code.AlreadyExists });
    }
    await l.removeAll();
    t.strictSame(await l.left(), nothing);
  },
);

t.test("a pod is not made when a plugin or the runtime fails, and leaves nothing", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cni-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const failing = `#!/bin/sh\nif [ -e ${folder}/fail-$CNI_COMMAND ]; then echo '{"code": 100, "msg": "told to fail"}'; exit 1; fi\nexec /usr/lib/cni/bridge\n`;
  await writeFile(join(folder, "bridge"), failing);
  await chmod(join(folder, "bridge"), 0o755);
  const runtime = `
[cri.runtime.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[cri.runtime.runtimes.broken]
runtime_type = "io.containerd.runc.v2"
[cri.runtime.runtimes.broken.options]
BinaryName = "/bin/false"
[cri.runtime.runtimes.missing]
runtime_type = "io.containerd.not-there.v1"
`;
  await using l = await lab({ plugins: folder, config: runtime });
  await writeFile(join(folder, "fail-ADD"), "");
  await t.rejects(l.runPod("a"), { message: /told to fail/ });
  t.strictSame(await l.left(), nothing);
  await rm(join(folder, "fail-ADD"));
  await t.rejects(l.runPod("a", { runtimeHandler: "broken" }));
  t.strictSame(await l.left(), nothing);
  await t.rejects(l.runPod("a", { runtimeHandler: "missing" }));
  t.strictSame(await l.left(), nothing);
  await t.rejects(l.runPod("a", { runtimeHandler: "unknown" }), { code: Code.InvalidArgument });
  t.strictSame(await l.left(), nothing);

  await writeFile(join(folder, "fail-DEL"), "");
  const id = await l.runPod("a");
  await t.rejects(l.client().stopPodSandbox({ podSandboxId: id }), { message: /told to fail/ });
  await rm(join(folder, "fail-DEL"));
  await l.client().removePodSandbox({ podSandboxId: id });
  t.strictSame(await l.left(), nothing);
});

t.test(
  "a pod whose namespace and process are gone, as after a reboot, can be stopped and removed",
  async (t) => {
    await using l = await lab();
    const id = await l.runPod("web");
    const [netns = ""] = await names(join(l.folder, "state/cri/netns"));
    await killed(l.daemon().pid);
    for (const line of await processesOf(l.folder)) await killed(Number.parseInt(line, 10));
    await loadBinding().umount(join(l.folder, "state/cri/netns", netns), MNT_DETACH);
    await l.restart();
    const { status } = await l.client().podSandboxStatus({ podSandboxId: id });
    t.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
    await l.client().stopPodSandbox({ podSandboxId: id });
    await l.client().removePodSandbox({ podSandboxId: id });
    t.strictSame(await l.left(), nothing);
  },
);

t.test("a node without a network is told so until it has one", async (t) => {
  await using l = await lab({ hasNetwork: false });
  const conditions = async () => (await l.client().status({})).status?.conditions ?? [];
  t.match(await conditions(), [
    { type: "RuntimeReady", status: true },
    {
      type: "NetworkReady",
      status: false,
      reason: "NetworkPluginNotReady",
      message: /^Network plugin returns error: cni plugin not initialized/,
    },
    { type: "ContainerdHasNoDeprecationWarnings" },
  ]);
  await t.rejects(l.runPod("web"), { code: Code.FailedPrecondition });
  const id = await l.runPod("host", { namespaces: { network: NamespaceMode.NODE } });
  t.equal((await l.client().podSandboxStatus({ podSandboxId: id })).status?.network?.ip, "");
  await l.client().removePodSandbox({ podSandboxId: id });
  await l.install();
  t.match((await conditions())[1], { type: "NetworkReady", status: true });
  t.match(await l.client().version({}), { runtimeName: "lazuli", runtimeApiVersion: "v1" });
  const { runtimeHandlers, info } = await l.client().status({ verbose: true });
  t.match(runtimeHandlers, [{ name: "" }, { name: "runc" }]);
  t.equal(info["lastCNILoadStatus"], "OK");
});

t.test("a pod's namespaces are the node's where it asks for them, and its own otherwise", async (t) => {
  await using l = await lab();
  const host = await l.runPod("host", {
    namespaces: { network: NamespaceMode.NODE, pid: NamespaceMode.NODE, ipc: NamespaceMode.NODE },
  });
  const own = await l.runPod("own", { namespaces: { pid: NamespaceMode.POD } });
  for (const name of ["net", "pid", "ipc"]) {
    const node = await readlink(`/proc/self/ns/${name}`);
    t.equal(await readlink(`/proc/${await pidOf(l, host)}/ns/${name}`), node);
    t.not(await readlink(`/proc/${await pidOf(l, own)}/ns/${name}`), node);
  }
  const ids = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
  const mapped = await l.runPod("mapped", {
    namespaces: { usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids } },
  });
  const map = await readFile(`/proc/${await pidOf(l, mapped)}/uid_map`, "utf8");
  t.match(map, /^\s*0\s+200000\s+65536\n$/);
  await l.removeAll();
  t.strictSame(await l.left(), nothing);
});
