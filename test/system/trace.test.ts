import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { decodeTrace, type StartTrace, type Touch, traceFigures } from "../../src/traces/index.js";
import { startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { type Lab, oddRegistry, projectRoot, startLab } from "../../testing/rig/lab.js";
import { statusOf } from "../../testing/rig/node-facts.js";
import { optimiseImage } from "../../testing/rig/optimised-image.js";

const TRIES = 200;
/** Of /data/exact and /data/large. */
const EXACT_BYTES = 4_194_304;
/** runc knows containers of all tests that run side by side. */
const web = `web-${process.pid}`;

async function cachedBytes(lab: Lab): Promise<number> {
  return (await statusOf(lab)).layers.reduce((sum, layer) => sum + layer.cachedBytes, 0);
}

async function untilQuiet(lab: Lab): Promise<number> {
  let before = await cachedBytes(lab);
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    await delay(300);
    const now = await cachedBytes(lab);
    if (now > 0 && now === before) return now;
    before = now;
  }
  throw new Error("Nothing was prefetched");
}

async function exported(lab: Lab, trace: string): Promise<StartTrace> {
  const { stdout } = await lab.snapshotter.lazuli(["trace", "export", trace]);
  return decodeTrace(Buffer.from(stdout));
}

async function ids(lab: Lab): Promise<string[]> {
  const { stdout } = await lab.snapshotter.lazuli(["trace", "ls", "--json"]);
  return JSON.parse(stdout).traces.map(({ id }: { id: string }) => id);
}

function bytesOf(touches: readonly Touch[]): number {
  return touches.reduce((sum, { length }) => sum + length, 0);
}

t.setTimeout(300_000);

t.test("a container's start through containerd leaves a trace of what it read and waited for", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  await using lab = await startLab({
    config: '[layer]\nbackground_fill = false\nreadahead_max = "4KiB"\n[profiles]\nuse = "off"',
  });
  const layout = await optimiseImage({
    registry,
    source: "odd:org",
    tag: "landmark",
    args: ["/bin/sh", "-c", "sha256sum /data/exact"],
    folder: lab.folder,
  });
  const server = await startRegistry();
  cleanup.add(() => server.stop());
  await server.addLayout({ folder: layout, repository: "optimised" });
  const image = `${server.host}/optimised:landmark`;
  await lab.containerd.ctrRemote([...["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]]);
  const prefetched = await untilQuiet(lab);
  t.same(await ids(lab), [], "unpacking is no start");

  await runInContainer(lab, image, "sha256sum /data/exact /data/large");
  const [id] = await ids(lab);
  const trace = await exported(lab, id!);
  const { layers } = await statusOf(lab);
  t.same(
    trace.layers.map(({ digest }) => digest).sort(),
    layers.map(({ digest }) => digest).sort(),
    "all lazy layers are named",
  );
  t.equal(trace.reference, image);
  t.equal(trace.ended, "removed", "the container went before the time was over");
  t.match(trace.key, /^run-/);
  const waited = trace.touches.filter(({ waitedMs }) => waitedMs > 0);
  const local = trace.touches.filter(({ waitedMs }) => waitedMs === 0);
  t.ok(bytesOf(local) >= EXACT_BYTES, "the prefetched file was read locally");
  t.ok(bytesOf(waited) > 1_000_000, "the other one was waited for");
  const grown = (await cachedBytes(lab)) - prefetched;
  t.ok(bytesOf(waited) <= grown, "what was waited for is what came");
  t.ok(bytesOf(trace.touches) < trace.layers.reduce((sum, { dataBytes }) => sum + dataBytes, 0), "not all");
  const names = new Set(trace.touches.map(({ layer, unit }) => `${layer}/${unit}`));
  t.equal(names.size, trace.touches.length, "each unit once");
  const demanded = trace.requests.filter(({ priority }) => priority === "demand");
  for (const { layer, unit } of waited) {
    t.ok(
      demanded.some((one) => one.layer === layer && one.firstUnit <= unit && unit <= one.lastUnit),
      `a request brought unit ${unit} of layer ${layer}`,
    );
  }
  for (const { atMs, firstByteMs, endMs, storedMs } of demanded) {
    t.ok(atMs <= firstByteMs! && firstByteMs! <= endMs! && endMs! <= storedMs!, "steps come in order");
  }
  const waterfall = await lab.snapshotter.lazuli(["trace", "show"]);
  t.match(waterfall.stdout, /requests {3}.*D/);
  t.match(waterfall.stdout, new RegExp(`${traceFigures(trace).touches} units`));
  const files = await readdir(join(lab.snapshotter.root, "traces"));
  t.same(files, [`${id}.json`]);
  t.same(decodeTrace(await readFile(join(lab.snapshotter.root, "traces", files[0]!))), trace);
});

t.test(
  "lazuli trace end closes the recording of a container that is ready, and nothing is recorded at 0 s",
  async (t) => {
    await using cleanup = new Cleanup();
    const registry = await oddRegistry(cleanup);
    const quiet = '[layer]\nbackground_fill = false\n[profiles]\nuse = "off"\n[trace]\n';
    await using lab = await startLab({ config: `${quiet}seconds = 300` });
    const image = `${registry.host}/odd:esgz`;
    const { containerd, snapshotter } = lab;
    await containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
    await t.rejects(snapshotter.lazuli(["trace", "end", web]), /is being recorded/);
    await t.rejects(snapshotter.lazuli(["trace", "show"]), /There are no traces/);
    await containerd.ctr(["run", "-d", "--snapshotter", "lazuli", image, web, "/bin/sh", "-c", "sleep 600"]);
    lab.cleanup.add(async () => {
      await containerd.ctr(["tasks", "rm", "-f", web], { allow: [0, 1] });
    });
    const { stdout } = await snapshotter.lazuli(["trace", "end", web]);
    const trace = await exported(lab, web);
    t.equal(stdout.trim(), trace.id);
    t.equal(trace.ended, "ready");
    t.ok(trace.touches.length > 0, "the shell was read");
    await lab.restart({ config: `${quiet}seconds = 0` });
    t.same(await ids(lab), [trace.id], "it outlives the process");
    await runInContainer(lab, image, "sha256sum /data/large");
    t.same(await ids(lab), [trace.id]);
  },
);

t.test("lazuli's own daemon names the command, and records the next start too", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  const folder = await mkdtemp(join(tmpdir(), "lazuli-trace-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const daemon = await startDaemon({
    folder,
    config: '[layer]\nbackground_fill = false\n[profiles]\nuse = "off"\n[trace]\nseconds = 300',
  });
  cleanup.add(() => daemon.stop());
  const env = { CONTAINERD_ADDRESS: daemon.address, LAZULI_LOGS: join(folder, "logs") };
  const lazuli = async (...words: string[]): Promise<string> =>
    (await command(join(projectRoot, "bin", "lazuli"), words, { env })).stdout;
  const trace = async (...words: string[]): Promise<string> =>
    await lazuli("trace", ...words, "--address", daemon.address);
  const image = `${registry.host}/odd:esgz`;
  const words = ["/bin/sh", "-c", "cat /data/keep"];
  t.equal(await lazuli("run", "--name", web, image, ...words), "keep\n");
  await trace("end", web);
  const first = decodeTrace(Buffer.from(await trace("export", web)));
  t.same(first.command, words);
  t.equal(first.reference, image);
  t.match(first.manifest, /^sha256:/);
  t.ok(first.touches.length > 0);
  await lazuli("rm", web);
  await command("sh", ["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"]);
  t.equal(await lazuli("run", "--name", `${web}-again`, image, ...words), "keep\n");
  await trace("end", `${web}-again`);
  await lazuli("rm", `${web}-again`);
  const second = decodeTrace(Buffer.from(await trace("export")));
  t.not(second.id, first.id);
  t.ok(second.touches.length > 0);
  t.ok(
    second.touches.every(({ waitedMs }) => waitedMs === 0),
    "all is here by now",
  );
});
