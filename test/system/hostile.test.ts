import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { runInContainer } from "../../testing/rig/container.js";
import {
  foreignDigest,
  type ImageCopy,
  publishCopy,
  readImage,
  withLayerAnnotation,
} from "../../testing/rig/image-copy.js";
import { type Lab, oddRegistry, startLab } from "../../testing/rig/lab.js";
import { explained, logRecords, metricsText, statusOf, untilDurable } from "../../testing/rig/node-facts.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";

const layerConfig = '[layer]\nbackground_fill = false\nreadahead_max = "4KiB"\ndemand_deadline = "3s"';
const tocAnnotation = "containerd.io/snapshot/stargz/toc.digest";
const digests = oddImageDigests();
const readLarge = "sha256sum /data/large";
/** Brings the whole program here: a missing page of it would end it by SIGBUS before it could tell of EIO. */
const warmUp = "cat /bin/busybox >/dev/null; cat /data/keep";
const tryLarge = "cat /data/large 2>&1 >/dev/null";
const largeLine = `${digests.large}  /data/large\n`;
const readExact = "sha256sum /data/exact";
const exactLine = `${digests.exact}  /data/exact\n`;

/** A scripted registry with variants of the odd image, each under its tag. */
async function scriptedOdd(cleanup: Cleanup, tags: readonly string[]): Promise<Odd> {
  const debian = await oddRegistry(cleanup);
  const server = await startRegistry();
  cleanup.add(() => server.stop());
  const images = new Map<string, ImageCopy>();
  for (const tag of tags) {
    const image = await readImage({ host: debian.host, repository: "odd", tag });
    publishCopy(server, image, { repository: "odd", tag });
    images.set(tag, image);
  }
  return { server, images };
}

interface Odd {
  readonly server: RegistryServer;
  readonly images: ReadonlyMap<string, ImageCopy>;
}

async function pull(lab: Lab, image: string): Promise<void> {
  await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
}

async function lazyDigests(lab: Lab): Promise<string[]> {
  return (await statusOf(lab)).layers.map((layer) => layer.digest);
}

t.setTimeout(300_000);

t.test("layers that cannot be lazy are left to containerd, with their reason", async (t) => {
  await using cleanup = new Cleanup();
  const { server, images } = await scriptedOdd(cleanup, ["esgz", "org", "large-chunks"]);
  const wrong = withLayerAnnotation(images.get("esgz")!, {
    layer: 0,
    name: tocAnnotation,
    value: foreignDigest,
  });
  publishCopy(server, wrong, { repository: "odd", tag: "wrong-toc" });
  const metricsFolder = await mkdtemp(join(tmpdir(), "lazuli-metrics-"));
  cleanup.add(() => rm(metricsFolder, { recursive: true, force: true }));
  const metricsSocket = join(metricsFolder, "metrics.sock");
  await using lab = await startLab({
    config: `${layerConfig}\npull_whole = false\n[metrics]\naddress = "${metricsSocket}"`,
  });
  const { pid } = lab.snapshotter;

  const wrongToc = `${server.host}/odd:wrong-toc`;
  await pull(lab, wrongToc);
  const [bottom] = await explained(lab, wrongToc);
  t.match(bottom, { lazy: false, reason: "toc-digest-mismatch", layerDigest: wrong.layers[0]!.digest });
  t.notOk((await lazyDigests(lab)).includes(wrong.layers[0]!.digest), "the engine does not have it");
  t.equal((await runInContainer(lab, wrongToc, readLarge)).stdout, largeLine, "its container runs");

  const ordinary = `${server.host}/odd:org`;
  await pull(lab, ordinary);
  t.match(
    (await explained(lab, ordinary)).map(({ lazy, reason }) => ({ lazy, reason })),
    Array.from({ length: 3 }, () => ({ lazy: false, reason: "no-toc-digest" })),
    "an ordinary image is refused for what it lacks",
  );
  t.equal((await runInContainer(lab, ordinary, readLarge)).stdout, largeLine, "its container runs");

  const records = await logRecords(lab.snapshotter);
  const told = (reason: string): number =>
    records.filter((record) => record["remote-snapshot-prepared"] === "false" && record.reason === reason)
      .length;
  t.same([told("toc-digest-mismatch"), told("no-toc-digest")], [1, 3], "the log has a line for each");
  const metrics = await metricsText(metricsSocket);
  const counted = (reason: string): string | undefined =>
    new RegExp(`^lazuli_remote_prepares_total\\{[^}]*reason="${reason}"[^}]*\\} (\\d+)$`, "m").exec(
      metrics,
    )?.[1];
  t.same([counted("toc-digest-mismatch"), counted("no-toc-digest")], ["1", "3"], "the metrics count them");

  const good = `${server.host}/odd:large-chunks`;
  await pull(lab, good);
  t.ok(
    (await explained(lab, good)).every((layer) => layer.lazy),
    "the next good image is lazy",
  );
  t.equal((await runInContainer(lab, good, readLarge)).stdout, largeLine, "and is read");
  t.ok(process.kill(pid, 0), "all that time it was the same process");
});

t.test("bytes that a registry flips never reach a container", async (t) => {
  await using cleanup = new Cleanup();
  const { server } = await scriptedOdd(cleanup, ["small-chunks"]);
  await using lab = await startLab({ config: layerConfig });
  const image = `${server.host}/odd:small-chunks`;
  await pull(lab, image);
  t.equal((await runInContainer(lab, image, warmUp)).stdout, "keep\n");

  const bytesBefore = server.log.length;
  server.script({ method: "GET", path: /\/blobs\//, times: 2, act: { flipByte: 1000 } });
  t.equal(
    (await runInContainer(lab, image, readExact)).stdout,
    exactLine,
    "flips for a while: the right bytes",
  );
  t.ok(server.log.length > bytesBefore + 2, "ranges were asked for again");

  server.clearScript();
  server.script({ method: "GET", path: /\/blobs\//, act: { flipByte: 1000 } });
  const refused = await runInContainer(lab, image, tryLarge);
  t.not(refused.code, 0, "flips for ever: the read fails");
  t.match(refused.stdout, /I\/O error|Input\/output error/, "with EIO");
  t.equal((await runInContainer(lab, image, readExact)).stdout, exactLine, "what is here is still read");
  const { layers } = await statusOf(lab);
  t.equal(layers.length, 3, "the daemon answers");

  server.clearScript();
  t.equal(
    (await runInContainer(lab, image, readLarge)).stdout,
    largeLine,
    "the mended registry mends the read",
  );
});

t.test("a snapshotter that was killed comes back with its snapshots and its bytes", async (t) => {
  await using cleanup = new Cleanup();
  const { server } = await scriptedOdd(cleanup, ["small-chunks"]);
  await using lab = await startLab({ config: layerConfig });
  const image = `${server.host}/odd:small-chunks`;
  await pull(lab, image);
  t.equal((await runInContainer(lab, image, warmUp)).stdout, "keep\n");
  t.equal((await runInContainer(lab, image, readExact)).stdout, exactLine);
  await untilDurable(lab);
  const listSnapshots = async (): Promise<string> =>
    (await lab.containerd.ctr(["snapshots", "--snapshotter", "lazuli", "ls"])).stdout;
  const before = await listSnapshots();

  await server.stop();
  await lab.restart({ signal: "SIGKILL" });
  t.equal(await listSnapshots(), before, "containerd sees the same snapshots");
  t.equal(before.match(/Committed/g)?.length, 3, "which are the three layers");
  t.equal((await runInContainer(lab, image, readExact)).stdout, exactLine, "cached files need no registry");
  const missing = await runInContainer(lab, image, tryLarge);
  t.not(missing.code, 0, "others fail");
  t.match(missing.stdout, /I\/O error|Input\/output error/, "with EIO");
  for (const layer of (await statusOf(lab)).layers) t.equal(layer.fetchedBytes, 0, "nothing was fetched");
});
