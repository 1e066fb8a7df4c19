import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { type Lab, projectRoot, startLab } from "../../testing/rig/lab.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";
import { formatRegistry, imageOf } from "./formats-rig.js";

t.setTimeout(600_000);

const tags = ["gzip", "members", "tar"] as const;
const { large } = oddImageDigests();
const said = `keep\nback\n${large}  /data/large\n`;

async function runs(lab: Lab, image: string): Promise<string> {
  return (await runInContainer(lab, image, "cat /data/keep /data/gone-dir/back && sha256sum /data/large"))
    .stdout;
}

async function formatsOf(lab: Lab, image: string): Promise<string[]> {
  const { layers } = JSON.parse((await lab.snapshotter.lazuli(["explain", image, "--json"])).stdout);
  return layers.map(({ format, lazy }: { format: string; lazy: boolean }) => (lazy ? format : "left"));
}

t.test(
  "containerd runs images that nobody converted by an index of ours, and goes on without the registry",
  async (t) => {
    await using cleanup = new Cleanup();
    const made = await formatRegistry(cleanup);
    await made.stop();
    const folder = await mkdtemp(join(tmpdir(), "lazuli-fine-"));
    cleanup.add(() => rm(folder, { recursive: true, force: true }));
    await cp(join(projectRoot, "build", "images", "formats-registry"), join(folder, "registry"), {
      recursive: true,
    });
    const registry = await startDockerRegistry({ folder: join(folder, "registry") });
    cleanup.add(() => registry.stop());
    const lazuli = join(projectRoot, "bin", "lazuli");
    for (const tag of tags) {
      const index = `oci:${join(folder, tag)}`;
      await command(lazuli, [
        "index",
        "create",
        "--kind",
        "fine",
        "--min-layer-size",
        "0",
        imageOf(registry, tag),
        index,
      ]);
      await command(lazuli, ["index", "push", index, imageOf(registry, tag)]);
    }
    await using lab = await startLab({ config: "[layer]\nfine_referrers = true\nbackground_fill = false\n" });
    const eager = new Map<string, string[]>();
    for (const tag of tags) {
      const image = imageOf(registry, tag);
      await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
      t.equal(await runs(lab, image), said, `${tag}: a container reads its files`);
      t.same(new Set(await formatsOf(lab, image)), new Set(["fine"]), `${tag}: by our index`);
      const lazy = await lab.listImage(image, "lazuli");
      await lab.containerd.ctr(["images", "pull", "--plain-http", image]);
      eager.set(tag, await lab.listImage(image, "overlayfs"));
      t.same(listingDifference(eager.get(tag)!, lazy), [], `${tag}: no difference to the full pull`);
    }
    await registry.stop();
    await lab.restart();
    for (const tag of tags) {
      const image = imageOf(registry, tag);
      t.equal(await runs(lab, image), said, `${tag}: a container reads its files without the registry`);
      t.same(
        listingDifference(eager.get(tag)!, await lab.listImage(image, "lazuli")),
        [],
        `${tag}: and all are there`,
      );
    }
  },
);
