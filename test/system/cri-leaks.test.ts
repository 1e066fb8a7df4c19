import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { command } from "../../testing/rig/command.js";
import { type KubeletRig, kubeletRig, StreamClient } from "./cri-containers-rig.js";

/** One after another; scripts/test-long.sh asks for more. */
const POD_CYCLES = Number(process.env.LAZULI_POD_CYCLES ?? 10);
const EXECS = Number(process.env.LAZULI_EXECS ?? 100);
const ATTACHES = Math.ceil(EXECS / 5);
const AT_ONCE = 4;
/** What the heap of a daemon may differ by between two quiet moments. */
const MEMORY_SLACK_BYTES = 48 * 1024 * 1024;
const SETTLING_LOOKS = 60;
const SETTLING_PAUSE_MS = 250;

t.setTimeout(0);

interface Left {
  /** Pods, network namespaces, mounts, shims and other processes, files and FIFOs, cgroups, addresses, routes. */
  readonly things: readonly string[];
  readonly openFiles: number;
}

const nothing: Left = { things: [], openFiles: 0 };

t.test("pods, one after another, leave nothing", async (t) => {
  await using rig = await kubeletRig();
  const ids: string[] = [];
  const interfaces = new Set<string>();
  const cycle = async (index: number): Promise<void> => {
    const id = await rig.pod(`cycle-${index}`, { hasOwnNetwork: true });
    ids.push(id);
    for (const name of await interfacesOfPods()) interfaces.add(name);
    const container = await rig.run(id, "main", { command: ["sh", "-c", `echo ${index}; sleep 1000`] });
    ids.push(container);
    t.match(await rig.exec(container, "echo", `${index}`), { stdout: `${index}\n` });
    await rig.runtime.stopPodSandbox({ podSandboxId: id });
    await rig.runtime.removePodSandbox({ podSandboxId: id });
  };
  await cycle(0);
  const before = await leftOf(rig, ids);
  const memory = await memoryOver(rig, { count: POD_CYCLES, one: (index) => cycle(index + 1) });
  t.strictSame(await moreThan(before, { rig, ids }), nothing);
  t.ok(interfaces.size > 0, "pods had interfaces on the host");
  const still = (await readdir("/sys/class/net")).filter((name) => interfaces.has(name));
  t.strictSame(still, [], "no interface of a pod is left on the host");
  t.ok(memory.grownBytes < MEMORY_SLACK_BYTES, `memory grew by ${memory.grownBytes} bytes`);
});

t.test("commands in a container and clients of its first process leave nothing", async (t) => {
  await using rig = await kubeletRig();
  const pod = await rig.pod("busy");
  const id = await rig.run(pod, "main", { command: ["cat"], stdin: true });
  const url = async (kind: "exec" | "attach", words: readonly string[]): Promise<string> => {
    const streams = { containerId: id, stdin: true, stdout: true, stderr: true, tty: false };
    const answer =
      kind === "exec"
        ? await rig.runtime.exec({ ...streams, cmd: [...words] })
        : await rig.runtime.attach(streams);
    return answer.url;
  };
  const execs = [
    async (index: number) => {
      const { stdout, exitCode } = await rig.exec(id, "sh", "-c", `echo ${index}; exit ${index % 100}`);
      if (stdout !== `${index}\n` || exitCode !== index % 100) t.fail(`exec ${index}: ${exitCode} ${stdout}`);
    },
    async (index: number) => {
      await using client = await streamed(await url("exec", ["head", "-n", "1"]));
      client.send(0, `line ${index}\n`);
      await client.closed;
      t.equal(client.text(1), `line ${index}\n`);
    },
    // The kubelet's connection breaks: its command is left without a client.
    async (index: number) => {
      await using client = await streamed(await url("exec", ["sh", "-c", "echo here; head -n 1"]));
      await client.until(1, "here");
      t.equal(client.text(3), "", `command ${index} has not ended`);
    },
  ];
  const attach = async (index: number): Promise<void> => {
    await using client = await streamed(await url("attach", []));
    client.send(0, `attached ${index}.\n`);
    await client.until(1, `attached ${index}.`);
  };
  const exec = async (index: number): Promise<void> => await execs[index % execs.length]!(index);
  const many = (work: (index: number) => Promise<void>) => async (group: number) => {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => work(group * AT_ONCE + index)));
  };
  const inside = async (): Promise<number> =>
    (await rig.exec(id, "sh", "-c", "echo /proc/[0-9]*")).stdout.split(" ").length;
  const alone = await inside();
  await many(exec)(0);
  await attach(0);
  const before = await leftOf(rig, [pod, id]);
  const ended = await memoryOver(rig, { count: Math.ceil(EXECS / AT_ONCE), one: many(exec) });
  const attached = await memoryOver(rig, { count: Math.ceil(ATTACHES / AT_ONCE), one: many(attach) });
  t.strictSame(await moreThan(before, { rig, ids: [pod, id] }), nothing);
  t.equal(await inside(), alone, "no process is left in the container");
  t.ok(ended.grownBytes < MEMORY_SLACK_BYTES, `memory grew by ${ended.grownBytes} bytes by commands`);
  t.ok(attached.grownBytes < MEMORY_SLACK_BYTES, `memory grew by ${attached.grownBytes} bytes by clients`);
});

async function streamed(url: string): Promise<StreamClient> {
  return await new StreamClient(url, "v5.channel.k8s.io").opened();
}

/** Runs one after another. The growth is that after a tenth of them, by when all code has run. */
async function memoryOver(
  rig: KubeletRig,
  { count, one }: { readonly count: number; readonly one: (index: number) => Promise<void> },
): Promise<{ readonly grownBytes: number }> {
  const pid = await daemonOf(rig);
  let first = 0;
  for (let index = 0; index < count; index += 1) {
    await one(index);
    if (index === Math.floor(count / 10)) first = await residentBytes(pid);
  }
  return { grownBytes: (await residentBytes(pid)) - first };
}

/** What is there now and was not before, once that has ended which ends by itself soon after an answer. */
async function moreThan(
  before: Left,
  { rig, ids }: { readonly rig: KubeletRig; readonly ids: readonly string[] },
): Promise<Left> {
  for (let look = 1; ; look += 1) {
    const now = await leftOf(rig, ids);
    const things = now.things.filter((thing) => !before.things.includes(thing));
    const openFiles = Math.max(0, now.openFiles - before.openFiles);
    if (look === SETTLING_LOOKS || (things.length === 0 && openFiles === 0)) return { things, openFiles };
    await delay(SETTLING_PAUSE_MS);
  }
}

async function leftOf(rig: KubeletRig, ids: readonly string[]): Promise<Left> {
  const { folder } = rig;
  const pid = await daemonOf(rig);
  // A collection that has ended: snapshots and content go by it.
  const address = ["--address", join(folder, "d.sock"), "--namespace", "k8s.io"];
  await command("ctr", [...address, "content", "prune", "references"]);
  const things: string[] = [];
  const add = (kind: string, all: readonly string[]): void => {
    things.push(...all.map((one) => `${kind} ${one}`));
  };
  add("netns", await names(join(folder, "state/cri/netns")));
  add(
    "mount",
    (await readMountInfo()).map(({ target }) => target).filter((target) => target.startsWith(folder)),
  );
  add(
    "process",
    (await processes(folder)).filter((one) => one.pid !== pid).map(({ line }) => line),
  );
  add("route", await routesOfPods());
  add(
    "address",
    (await names(join(folder, `ipam/lazuli-${process.pid}`))).filter((name) => /^\d/.test(name)),
  );
  for (const part of ["state", "root"]) {
    const all = await readdir(join(folder, part), { recursive: true });
    // What the daemon keeps of its own changes is left out.
    add(
      "file",
      all.filter((path) => !/metadata|\.mdb|^data|\/fs\/|journal/.test(path)),
    );
  }
  for (const controller of await names("/sys/fs/cgroup")) {
    const groups = await names(`/sys/fs/cgroup/${controller}/k8s.io`);
    add(
      "cgroup",
      groups.filter((name) => ids.includes(name)).map((name) => `${controller}/${name}`),
    );
  }
  const { items } = await rig.runtime.listPodSandbox({});
  add(
    "pod",
    items.map(({ id }) => id),
  );
  return { things: things.sort(), openFiles: (await readdir(`/proc/${pid}/fd`)).length };
}

async function names(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []); // Nothing was made there yet, or it is no folder.
}

/** Of what was started for the folder, this test left out. */
async function processes(folder: string): Promise<{ readonly pid: number; readonly line: string }[]> {
  const found = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " "); // It has ended.
    if (line.includes(folder)) found.push({ pid: Number(name), line });
  }
  return found;
}

async function daemonOf({ folder }: KubeletRig): Promise<number> {
  const config = `daemon --config ${join(folder, "config.toml")}`;
  return (await processes(folder)).find(({ line }) => line.includes(config))!.pid;
}

/** Lines of /proc/net/route: the interface, then the address in hexadecimal, its last byte first. */
async function routesOfPods(): Promise<string[]> {
  const lines = (await readFile("/proc/net/route", "utf8")).split("\n").slice(1);
  const subnet = Buffer.of(process.pid % 256, 213, 10)
    .toString("hex")
    .toUpperCase();
  return lines.filter((line) => line.split("\t")[1]?.endsWith(subnet));
}

async function interfacesOfPods(): Promise<string[]> {
  return (await routesOfPods()).map((line) => line.split("\t")[0]!);
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
}
