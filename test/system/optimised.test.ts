import t from "tap";
import { delay } from "../../src/async/index.js";
import { startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import { type Lab, oddRegistry, startLab } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { type NodeStatus, statusOf } from "../../testing/rig/node-facts.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";
import { optimiseImage } from "../../testing/rig/optimised-image.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";

const workload = "sha256sum /data/exact";
const { exact } = oddImageDigests();

function cachedBytes(status: NodeStatus): number {
  return status.layers.reduce((sum, layer) => sum + layer.cachedBytes, 0);
}

const QUIET_TRIES = 200;

/** The state of the node once a prefetch has begun and nothing came for a moment. */
async function untilQuiet(lab: Lab): Promise<NodeStatus> {
  let before = await statusOf(lab);
  for (let attempt = 0; attempt < QUIET_TRIES; attempt += 1) {
    await delay(300);
    const now = await statusOf(lab);
    if (cachedBytes(now) > 0 && cachedBytes(now) === cachedBytes(before)) return now;
    before = now;
  }
  throw new Error("Nothing was prefetched");
}

t.setTimeout(300_000);

t.test("what ctr-remote put before the landmark is there before anybody asks", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  await using lab = await startLab({ config: '[layer]\nbackground_fill = false\nreadahead_max = "4KiB"' });
  const layout = await optimiseImage({
    registry,
    source: "odd:org",
    tag: "landmark",
    args: ["/bin/sh", "-c", workload],
    folder: lab.folder,
  });
  const server = await startRegistry();
  cleanup.add(() => server.stop());
  await server.addLayout({ folder: layout, repository: "optimised" });
  const image = `${server.host}/optimised:landmark`;
  const { containerd } = lab;
  await containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);

  const prefetched = await untilQuiet(lab);
  t.equal(prefetched.layers.length, 3, "all layers are lazy");
  const dataBytes = prefetched.layers.reduce((sum, layer) => sum + layer.dataBytes, 0);
  t.ok(cachedBytes(prefetched) >= 4_194_304, "the file that the workload reads is here");
  t.ok(cachedBytes(prefetched) < dataBytes - 9_500_000, "the one that it does not read is not");
  const rangesBefore = server.log.length;
  const { stdout } = await runInContainer(lab, image, workload);
  t.equal(stdout, `${exact}  /data/exact\n`, "the workload runs");
  const asked = server.log.slice(rangesBefore).reduce((sum, record) => sum + record.bytesSent, 0);
  t.ok(asked < 65_536, "and asks for next to nothing");

  {
    await using view = await mountImage({ containerd, image, snapshotter: "lazuli", below: lab.folder });
    const root = await command("ls", ["-A", view.folder]);
    t.match(root.stdout, /^last$/m, "the root is listed");
    t.notMatch(root.stdout, /landmark|stargz/, "without the files of the format");
  }
  const lazy = await lab.listImage(image, "lazuli");
  await containerd.ctr(["images", "pull", "--plain-http", image]);
  const eager = await lab.listImage(image, "overlayfs");
  t.ok(eager.length > 600, "the listing is whole");
  t.same(listingDifference(eager, lazy), [], "no difference to the full pull");
});
