import { createHash } from "node:crypto";
import { access, chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { type RunningDaemon, startDaemon } from "../../testing/rig/daemon.js";
import { oddRegistry } from "../../testing/rig/lab.js";

/** One after another; scripts/test-long.sh asks for more. */
const IN_A_ROW = Number(process.env.LAZULI_CHURN ?? 20);
const AT_ONCE = 20;
/** What the heap of a daemon may differ by between two quiet moments. */
const MEMORY_SLACK_BYTES = 48 * 1024 * 1024;
const NAMESPACE = `churn-${process.pid}`;
const anyCode = Array.from({ length: 256 }, (_, code) => code);

t.setTimeout(600_000);

interface Lab extends AsyncDisposable {
  readonly folder: string;
  readonly daemon: RunningDaemon;
  readonly image: string;
  ctr(...words: readonly string[]): Promise<CommandResult>;
}

async function startChurn(): Promise<Lab> {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-churn-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => rm(`/run/containerd/runc/${NAMESPACE}`, { recursive: true, force: true }));
  const { host } = await oddRegistry(cleanup);
  const daemon = await startDaemon({ folder });
  cleanup.add(() => daemon.stop());
  const ctr = (...words: readonly string[]): Promise<CommandResult> =>
    command("ctr", ["--address", daemon.address, "--namespace", NAMESPACE, ...words], { allow: anyCode });
  cleanup.add(async () => {
    for (const id of lines((await ctr("tasks", "ls", "-q")).stdout)) await ctr("tasks", "rm", "-f", id);
  });
  const image = `${host}/odd:org`;
  await mkdir(join(folder, "fifo"));
  await ctr("images", "pull", "--plain-http", image);
  return { folder, daemon, image, ctr, [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose]() };
}

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

/** All that a container could leave, as sorted lines. What the daemon keeps of its own changes is left out. */
async function leftovers({ folder, daemon, ctr }: Lab): Promise<string[]> {
  const found: string[] = [];
  // A collection that has ended: snapshots go by it.
  await ctr("content", "prune", "references");
  const add = (kind: string, all: readonly string[]): void => {
    found.push(...all.map((one) => `${kind} ${one}`));
  };
  add(
    "process",
    (await processes(daemon.address)).map(({ command: line }) => line),
  );
  add(
    "mount",
    (await readMountInfo()).map(({ target }) => target).filter((target) => target.startsWith(folder)),
  );
  add("fifo", await readdir(join(folder, "fifo")));
  for (const part of ["state", "root"]) {
    const all = await readdir(join(folder, part), { recursive: true });
    add(
      "file",
      all.filter((path) => !/metadata|\.mdb|^data|\/fs\/|journal/.test(path)),
    );
  }
  for (const what of ["containers", "tasks", "snapshots", "leases", "content", "images"]) {
    add(
      what,
      lines((await ctr(what, "ls")).stdout)
        .slice(1)
        .map((line) => line.split(/\s/)[0]!),
    );
  }
  for (const controller of await readdir("/sys/fs/cgroup")) {
    const groups = await readdir(`/sys/fs/cgroup/${controller}/${NAMESPACE}`, { withFileTypes: true }).catch(
      () => [], // No container has made it, or none is left.
    );
    add(
      "cgroup",
      groups.filter((entry) => entry.isDirectory()).map(({ name }) => `${controller}/${name}`),
    );
  }
  return found.sort();
}

/** Shims and whatever else was started for an address, but not those who only talk to it. */
async function processes(address: string): Promise<{ readonly pid: number; readonly command: string }[]> {
  const found = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " "); // It has ended.
    if (line.includes(`-address ${address}`) && line.includes("shim"))
      found.push({ pid: Number(name), command: line });
  }
  return found;
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
}

const files = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;

/** Where the installed shim listens (pkg/shim SocketAddress). */
const shimSocket = (address: string, id: string): string =>
  join(
    "/run/containerd/s",
    createHash("sha256")
      .update(join(address, NAMESPACE, id))
      .digest("hex"),
  );

const exists = async (path: string): Promise<boolean> =>
  await access(path).then(
    () => true,
    () => false,
  );

/** Runs containers at once and one after another, each with an exit code of its own. */
async function churn(lab: Lab, options: { readonly words: readonly string[]; readonly inARow: number }) {
  const { ctr, image, folder } = lab;
  const run = async (id: string, code: number): Promise<string> => {
    const words = ["run", "--rm", "--fifo-dir", join(folder, "fifo"), ...options.words, image, id];
    const result = await ctr(...words, "/bin/sh", "-c", `echo out of ${id}; exit ${code}`);
    return `${id} ${result.code} ${result.stdout}${result.stderr}`;
  };
  const wrong: string[] = [];
  const check = async (id: string, code: number): Promise<void> => {
    const seen = await run(id, code);
    if (seen !== `${id} ${code} out of ${id}\n`) wrong.push(seen);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => check(`many-${index}`, index)));
  for (let index = 0; index < options.inARow; index += 1) await check("again", index % 100);
  return wrong;
}

async function settles(seen: () => Promise<unknown>, wanted: unknown): Promise<unknown> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const now = await seen();
    if (JSON.stringify(now) === JSON.stringify(wanted)) return now;
    await delay(100);
  }
  return await seen();
}

t.test(`${AT_ONCE} containers at once and ${IN_A_ROW} in a row leave nothing behind`, async (t) => {
  await using lab = await startChurn();
  const { daemon, ctr, image } = lab;
  await ctr("run", "-d", image, "seen", "/bin/sleep", "1000");
  t.equal((await processes(daemon.address)).length, 1, "a shim would be seen");
  t.ok(await exists(shimSocket(daemon.address, "seen")), "and its socket");
  t.ok(
    (await leftovers(lab)).some((line) => line.startsWith("cgroup")),
    "and its cgroup",
  );
  await ctr("tasks", "rm", "-f", "seen");
  await ctr("containers", "rm", "seen");
  t.same(await churn(lab, { words: [], inARow: 0 }), [], "warming up");
  const before = await leftovers(lab);
  const [memory, descriptors] = [await residentBytes(daemon.pid), await files(daemon.pid)];

  t.same(await churn(lab, { words: [], inARow: IN_A_ROW }), [], "each has its own output and exit code");
  t.same(await settles(() => leftovers(lab), before), before);
  for (const id of ["seen", "again", "many-0", "many-19"]) {
    t.notOk(await exists(shimSocket(daemon.address, id)), `the socket of ${id}`);
  }
  const isBack = async (): Promise<boolean> => (await files(daemon.pid)) <= descriptors;
  t.ok(await settles(isBack, true), "descriptors of the daemon");
  const isSmall = async (): Promise<boolean> =>
    (await residentBytes(daemon.pid)) < memory + MEMORY_SLACK_BYTES;
  t.ok(await settles(isSmall, true), "memory of the daemon");
});

const crun = "/usr/bin/crun";

t.test("so do containers of crun", { skip: !(await exists(crun)) && "crun is not installed" }, async (t) => {
  await using lab = await startChurn();
  // crun makes no cgroups where both hierarchies have controllers: it is shown the older one only.
  const program = join(lab.folder, "crun");
  const hidden = `exec unshare --mount sh -c 'umount -l /sys/fs/cgroup/unified; exec ${crun} "$@"' crun "$@"`;
  const isHybrid = await exists("/sys/fs/cgroup/unified");
  await writeFile(program, `#!/bin/sh\n${isHybrid ? hidden : `exec ${crun} "$@"`}\n`);
  await chmod(program, 0o755);
  const words = ["--runc-binary", program];
  t.same(await churn(lab, { words, inARow: 1 }), [], "warming up");
  const before = await leftovers(lab);
  t.same(await churn(lab, { words, inARow: Math.ceil(IN_A_ROW / 4) }), []);
  t.same(await settles(() => leftovers(lab), before), before);
});
