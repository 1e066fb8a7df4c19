import t from "tap";
import { startLink } from "../../src/bench/link/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { oddRegistry, startLab } from "../../testing/rig/lab.js";

const config = '[layer]\nbackground_fill = false\nreadahead_max = "4KiB"';
const line = "sha256sum /data/large /data/exact /bin/busybox; cat /many/f1* | wc -l";

/** Bytes that a registry sends when this many containers of one image read the same files at once. */
async function bytesForContainers(count: number): Promise<{ bytes: number; outputs: Set<string> }> {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  const link = await startLink({
    target: { host: "127.0.0.1", port: registry.port },
    rttMs: 2,
    bitsPerSecond: 1_000_000_000,
  });
  cleanup.add(() => link.stop());
  await using lab = await startLab({ config });
  const image = `127.0.0.1:${link.port}/odd:small-chunks`;
  await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
  const runs = Array.from({ length: count }, async (_, index) => {
    const words = ["run", "--rm", "--snapshotter", "lazuli", image, `many-${index}`, "/bin/sh", "-c", line];
    return (await lab.containerd.ctr(words)).stdout;
  });
  const outputs = new Set(await Promise.all(runs));
  const status = JSON.parse((await lab.snapshotter.lazuli(["status", "--json"])).stdout);
  const bytes = status.layers.reduce(
    (sum: number, layer: { fetchedBytes: number }) => sum + layer.fetchedBytes,
    0,
  );
  return { bytes, outputs };
}

t.setTimeout(300_000);

t.test("20 containers of one image at once fetch each unit once", async (t) => {
  const one = await bytesForContainers(1);
  const twenty = await bytesForContainers(20);
  t.same(twenty.outputs, one.outputs, "all read the same, right bytes");
  t.ok(one.bytes > 8_000_000, "the large files were fetched");
  t.ok(
    twenty.bytes <= one.bytes * 1.005,
    `bytes of 20 containers: ${(twenty.bytes / one.bytes).toFixed(3)} x of one`,
  );
});
