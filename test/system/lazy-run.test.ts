import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { oddRegistry, oddVariants, startLab } from "../../testing/rig/lab.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";

/** The two rungs of the mount ladder that serve lazily. */
const rungs = ["erofs", "fuse-tree"];

t.setTimeout(300_000);

for (const rung of rungs) {
  t.test(`containerd with lazuli on the rung ${rung} shows what a full pull shows`, async (t) => {
    await using cleanup = new Cleanup();
    const registry = await oddRegistry(cleanup);
    await using lab = await startLab({ config: `[layer]\nmount = "${rung}"\nbackground_fill = false` });
    const { containerd } = lab;
    for (const tag of Object.keys(oddVariants)) {
      const image = `${registry.host}/odd:${tag}`;
      await containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
      const status = JSON.parse((await lab.snapshotter.lazuli(["status", "--json"])).stdout);
      const layers = status.layers.filter((layer: { reference: string }) => layer.reference.includes(tag));
      t.equal(layers.length, 3, `${tag}: all three layers are lazy`);
      t.ok(
        layers.every(
          (layer: { mountKind: string }) => layer.mountKind === rung || layer.mountKind === "none",
        ),
        `${tag}: mounted by ${rung}`,
      );
      // Told by the exit code: the last lines of a short output may be lost between containerd's shim and ctr.
      const { code } = await containerd.ctr(
        [
          ...["run", "--rm", "--snapshotter", "lazuli", image, `run-${tag}`],
          ...[
            "/bin/sh",
            "-c",
            'test "$(cat /data/keep)" = keep && test "$(sha256sum /data/large | wc -l)" = 1',
          ],
        ],
        { allow: [1] },
      );
      t.equal(code, 0, `${tag}: the container read its files`);
      const lazy = await lab.listImage(image, "lazuli");
      await containerd.ctr(["images", "pull", "--plain-http", image]);
      const eager = await lab.listImage(image, "overlayfs");
      t.ok(eager.length > 600, `${tag}: the listing is whole`);
      t.same(listingDifference(eager, lazy), [], `${tag}: no difference to the full pull`);
    }
  });
}
