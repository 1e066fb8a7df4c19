import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { oddRegistry, projectRoot, startLab } from "../../testing/rig/lab.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";

t.setTimeout(300_000);

t.test("a client that sends no image labels is lazy: ctr images pull of containerd 2", async (t) => {
  const newer = join(projectRoot, "build", "newer");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), newer]);
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  await using lab = await startLab({
    binFolder: join(newer, "bin"),
    config: "[layer]\nbackground_fill = false",
  });
  const image = `${registry.host}/odd:esgz`;
  await lab.containerd.ctr(["images", "pull", "--plain-http", "--snapshotter", "lazuli", image]);
  const status = JSON.parse((await lab.snapshotter.lazuli(["status", "--json"])).stdout);
  t.equal(status.layers.length, 3, "all three layers are lazy");
  const explained = await lab.snapshotter.lazuli(["explain", image, "--json"]);
  t.ok(
    JSON.parse(explained.stdout).layers.every((layer: { lazy: boolean }) => layer.lazy),
    "explain says so",
  );
  const { stdout } = await lab.containerd.ctr(["content", "ls", "-q"]);
  for (const layer of status.layers)
    t.notMatch(stdout, layer.digest, "the blob was not downloaded by containerd");
  const run = await lab.containerd.ctr([
    "run",
    "--rm",
    "--snapshotter",
    "lazuli",
    image,
    "run",
    "/bin/cat",
    "/last",
  ]);
  t.equal(run.stdout, "last\n");
  const lazy = await lab.listImage(image, "lazuli");
  await lab.containerd.ctr(["images", "pull", "--plain-http", image]);
  t.same(
    listingDifference(await lab.listImage(image, "overlayfs"), lazy),
    [],
    "no difference to the full pull",
  );
});
