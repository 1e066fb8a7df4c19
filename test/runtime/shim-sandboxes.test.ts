import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { loadBinding } from "../../src/fuse/index.js";
import { openShimSandboxes } from "../../src/runtime/index.js";

t.setTimeout(60_000);

/** A shim that serves a sandbox over ttrpc and notes what it is asked. */
const program = (dist: string): string => `#!/usr/bin/env node
import { spawn } from "node:child_process";
import { access, appendFile, writeFile } from "node:fs/promises";
import { Sandbox } from "${dist}/gen/containerd/runtime/sandbox/v1/sandbox_pb.js";
import { Task } from "${dist}/gen/containerd/task/v3/shim_pb.js";
import { LazuliError } from "${dist}/src/errors/index.js";
import { serveTtrpc, ttrpcService } from "${dist}/src/ttrpc/index.js";

const command = process.argv.at(-1);
const folder = process.cwd();
const socketPath = folder + "/s";
if (command === "start") {
  spawn(process.execPath, [process.argv[1], "serve"], { detached: true, stdio: "ignore" }).unref();
  for (;;) {
    try {
      await access(socketPath);
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  process.stdout.write(JSON.stringify({ version: 3, address: "unix://" + socketPath, protocol: "ttrpc" }));
} else if (command === "serve") {
  const note = (word) => appendFile(process.env.NOTES, word + "\\n");
  const at = { seconds: 5n, nanos: 7 };
  let ended;
  const end = new Promise((resolve) => { ended = resolve; });
  const sandbox = ttrpcService(Sandbox, {
    createSandbox: async (request) => {
      await note("create " + request.sandboxId + " " + request.netnsPath + " " + request.annotations.k);
      if (request.annotations.k === "refuse") throw new LazuliError("INVALID_ARGUMENT", "not this one");
      return {};
    },
    startSandbox: async () => ({ pid: process.pid, createdAt: at }),
    platform: async () => ({ platform: { os: "linux", architecture: "amd64" } }),
    stopSandbox: async ({ timeoutSecs }) => { await note("stop " + timeoutSecs); ended(); return {}; },
    waitSandbox: async () => { await end; return { exitStatus: 3, exitedAt: at }; },
    sandboxStatus: async ({ verbose }) => ({ pid: process.pid, state: "READY", info: { verbose: String(verbose) }, createdAt: at }),
    sandboxMetrics: async ({ sandboxId }) => ({ metrics: { id: sandboxId, timestamp: at, data: { typeUrl: "m" } } }),
    shutdownSandbox: async () => { await note("shutdown"); setTimeout(() => process.exit(0), 50); return {}; },
  });
  const task = ttrpcService(Task, { connect: async () => ({ shimPid: process.pid, version: "3" }) });
  await serveTtrpc({ socketPath, mode: 0o600, services: [sandbox, task] });
}
`;

async function rig(t: { teardown: (run: () => Promise<void>) => void }) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-shims-"));
  const notes = join(folder, "notes");
  await writeFile(notes, "");
  process.env.NOTES = notes;
  const shim = join(folder, "shim.mjs");
  await writeFile(shim, program(fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")), {
    mode: 0o755,
  });
  const settings = {
    folders: { root: join(folder, "root"), state: join(folder, "state") },
    address: join(folder, "none.sock"),
    eventsAddress: join(folder, "none.ttrpc"),
    daemonProgram: process.execPath,
    version: "1.2.3",
    isDebug: false,
    binding: loadBinding(),
    now: () => 9n,
  };
  const pids = new Set<number>();
  t.teardown(async () => {
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended as it should.
      }
    }
    await rm(folder, { recursive: true });
  });
  const name = { namespace: "n", id: "s" };
  const request = {
    ...name,
    sandbox: {
      ...name,
      sandboxer: "shim",
      runtime: { name: shim, options: undefined },
      spec: { typeUrl: "spec", value: Buffer.from('{"ociVersion":"1"}') },
      labels: {},
      extensions: {},
    },
    rootfs: [],
    options: undefined,
    netnsPath: "/netns",
    annotations: { k: "v" },
  };
  const noted = async (): Promise<string[]> => (await readFile(notes, "utf8")).trim().split("\n");
  const bundle = join(settings.folders.state, "io.containerd.runtime.v2.task", "n", "s");
  return { settings, name, request, noted, bundle, pids };
}

const isThere = async (path: string): Promise<boolean> =>
  await access(path).then(
    () => true,
    () => false,
  );

t.test("openShimSandboxes() runs a sandbox in its shim, finds it again and ends it", async (t) => {
  const { settings, name, request, noted, bundle, pids } = await rig(t);
  const first = await openShimSandboxes(settings);
  await first.create(request);
  t.equal(await readFile(join(bundle, "config.json"), "utf8"), '{"ociVersion":"1"}');
  await t.rejects(first.create(request), { code: "ALREADY_EXISTS", message: "sandbox s already running" });
  const started = await first.start(name);
  pids.add(started.pid);
  t.match(started, { createdAt: 5_000_000_007n, version: 3, address: `ttrpc+unix://${bundle}/s` });
  t.same(await first.platform(name), { os: "linux", architecture: "amd64", variant: "" });
  await first.close();

  const again = await openShimSandboxes(settings);
  const status = await again.status({ ...name, isVerbose: true });
  t.match(status, { pid: started.pid, state: "READY", info: { verbose: "true" }, exitedAt: undefined });
  t.match(await again.metrics(name), { id: "s", timestamp: 5_000_000_007n, data: { typeUrl: "m" } });
  const waiting = again.wait(name);
  await again.stop({ ...name, timeoutMs: 2500 });
  t.same(await waiting, { exitStatus: 3, exitedAt: 5_000_000_007n });
  await again.shutdown(name);
  t.notOk(await isThere(bundle), "nothing is left of it");
  t.same(await noted(), ["create s /netns v", "stop 2", "shutdown"]);
  t.match(await again.status({ ...name, isVerbose: false }), { state: "", exitedAt: 9n });
  await again.stop({ ...name, timeoutMs: 0 });
  await t.rejects(again.wait(name), { code: "NOT_FOUND" });
  await t.rejects(again.start(name), { code: "UNKNOWN", message: 'unable to find sandbox "s"' });
  await again.close();
});

t.test("openShimSandboxes() leaves nothing of a sandbox that its shim refuses", async (t) => {
  const { settings, request, noted, bundle } = await rig(t);
  const sandboxes = await openShimSandboxes(settings);
  await t.rejects(sandboxes.create({ ...request, annotations: { k: "refuse" } }), {
    code: "INVALID_ARGUMENT",
    message: "failed to create sandbox s: not this one",
  });
  t.same(await noted(), ["create s /netns refuse", "shutdown"]);
  t.notOk(await isThere(bundle));
  const runtime = { name: "no/path", options: undefined };
  await t.rejects(sandboxes.create({ ...request, sandbox: { ...request.sandbox, runtime } }), {
    code: "INVALID_ARGUMENT",
  });
  t.notOk(await isThere(bundle));
  await sandboxes.close();
});
