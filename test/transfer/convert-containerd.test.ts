import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseManifest } from "../../src/oci/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd } from "../../testing/rig/containerd.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { oddImageArchive, oddImageName } from "../../testing/rig/odd-image.js";
import { listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { type ConversionRig, conversionRig } from "../../testing/transfer/converted.js";

import { conversionVariants as variants } from "../../testing/transfer/variants.js";

async function layersOf(layout: string, digest: string) {
  return parseManifest(await readFile(join(layout, "blobs", "sha256", digest.slice(7)))).layers;
}

async function treeOf(containerd: Containerd, image: string, below: string): Promise<string[]> {
  await using view = await mountImage({ containerd, image, snapshotter: "overlayfs", below });
  return await treeListing(view.folder);
}

async function importLayout(rig: ConversionRig, containerd: Containerd, name: string): Promise<string> {
  const archive = join(rig.folder, `${name}.tar`);
  await command("skopeo", [
    "copy",
    "-q",
    `oci:${join(rig.folder, "out")}:${name}`,
    `oci-archive:${archive}:${name}`,
  ]);
  const image = `lazuli.test/${name}:latest`;
  await containerd.ctr(["images", "import", "--snapshotter", "overlayfs", "--index-name", image, archive]);
  const { stdout } = await containerd.ctr(["images", "ls", "-q"]);
  return stdout.split("\n").find((line) => line.includes(`${name}@`) || line.endsWith(`:${name}`)) ?? image;
}

const shared = await mkdtemp(join(tmpdir(), "lazuli-convert-odd-"));
t.teardown(() => rm(shared, { recursive: true, force: true }));
const archive = await oddImageArchive({ folder: shared });

t.test("convertImage() makes images that containerd unpacks to the same tree", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await conversionRig();
  cleanup.add(async () => await rig[Symbol.asyncDispose]());
  const containerd = await startContainerd({ folder: join(rig.folder, "containerd") });
  cleanup.add(() => containerd.stop());
  await containerd.ctr(["images", "import", "--snapshotter", "overlayfs", archive]);
  const wanted = await treeOf(containerd, oddImageName, rig.folder);
  const out = join(rig.folder, "out");
  for (const [name, layers] of Object.entries(variants)) {
    await t.test(name, async (t) => {
      const report = await rig.convert({ from: `oci-archive:${archive}`, to: `oci:${out}:${name}`, layers });
      t.same(new Set(report.manifests[0]!.layers.map(({ action }) => action)), new Set(["converted"]));
      const image = await importLayout(rig, containerd, name);
      t.same(listingDifference(wanted, await treeOf(containerd, image, rig.folder)), []);
      for (const { digest, annotations } of await layersOf(out, report.digest)) {
        const tocDigest = annotations["containerd.io/snapshot/stargz/toc.digest"];
        if (tocDigest === undefined || name === "external") continue;
        const words = name.startsWith("zstd") ? ["--zstdchunked", digest] : [digest];
        const told = await containerd.ctrRemote(["images", "get-toc-digest", ...words]);
        t.equal(told.stdout.trim(), tocDigest, "ctr-remote finds the same TOC");
      }
    });
  }
});
