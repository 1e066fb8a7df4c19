import { join } from "node:path";
import t from "tap";
import { runInContainer } from "../../testing/rig/container.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { startLab } from "../../testing/rig/lab.js";
import { statusOf } from "../../testing/rig/node-facts.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";
import { conversionRig } from "../../testing/transfer/converted.js";
import { gnuTar, SmallImages, tarOf } from "../../testing/transfer/small-image.js";

/** As many as overlayfs takes of containerd (and Docker makes). */
const LAYERS = 128;

t.setTimeout(300_000);

/** Each layer has a file of its own, changes one that all have, and takes away that of the layer two below. */
function layerOf(index: number): Buffer {
  return tarOf({
    [`file-${index}`]: `${index}\n`.repeat(100 + index),
    shared: `the last is ${index}\n`,
    ...(index % 2 === 0 && index > 2 ? { [`.wh.file-${index - 2}`]: "" } : {}),
  });
}

t.test(`an image of ${LAYERS} layers is lazy, and its tree that of a full pull`, async (t) => {
  await using rig = await conversionRig();
  await using lab = await startLab({ config: "[layer]\nbackground_fill = false\n" });
  const registry = await startDockerRegistry({ folder: join(rig.folder, "registry") });
  lab.cleanup.add(() => registry.stop());
  const images = new SmallImages(join(rig.folder, "in"));
  const programs =
    "mkdir bin dev proc sys; cp /bin/busybox bin/; ln -s busybox bin/sh; ln -s busybox bin/cat";
  const base = await gnuTar(rig.folder, programs);
  const layers = Array.from({ length: LAYERS }, (_, index) => ({ tar: index === 0 ? base : layerOf(index) }));
  const from = await images.name("many", await images.image(layers));
  const image = `${registry.host}/many:esgz`;
  await rig.convert({ from, to: image, layers: { format: "estargz" } });
  const { containerd } = lab;
  await containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
  const status = await statusOf(lab);
  t.equal(status.layers.length, LAYERS);
  t.ok(
    status.layers.every(({ cachedUnits }) => cachedUnits === 0),
    "nothing but indexes came",
  );
  const lazy = await lab.listImage(image, "lazuli");
  await containerd.ctr(["images", "pull", "--plain-http", image]);
  const eager = await lab.listImage(image, "overlayfs");
  const files = eager.filter((line) => /^file-\d+\|f/.test(line));
  t.equal(files.length, LAYERS / 2 + 1);
  t.same(listingDifference(eager, lazy), [], "no difference to the full pull");
  await registry.stop();
  await lab.restart();
  t.same(
    listingDifference(eager, await lab.listImage(image, "lazuli")),
    [],
    "and again without the registry",
  );
  const { stdout } = await runInContainer(lab, image, "cat /shared");
  t.equal(stdout, `the last is ${LAYERS - 1}\n`, "a container runs on all of them");
});
