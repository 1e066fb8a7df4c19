import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { runInContainer } from "../../testing/rig/container.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { imageCache } from "../../testing/rig/estargz-image.js";
import { type Lab, oddRegistry, projectRoot, startLab } from "../../testing/rig/lab.js";

const config = '[layer]\nbackground_fill = false\nreadahead_max = "4KiB"\ndemand_deadline = "5s"';

async function trueSha256(lab: Lab, image: string): Promise<string> {
  await lab.containerd.ctr(["images", "pull", "--plain-http", image]);
  const { stdout } = await lab.containerd.ctr([
    "run",
    "--rm",
    image,
    "truth",
    "/bin/sha256sum",
    "/data/large",
  ]);
  return stdout.slice(0, 64);
}

t.setTimeout(300_000);

t.test("a registry that dies delays reads or ends them with EIO, and never changes a byte", async (t) => {
  await using cleanup = new Cleanup();
  let registry = await oddRegistry(cleanup);
  const image = `${registry.host}/odd:small-chunks`;
  const again = async (): Promise<void> => {
    registry = await startDockerRegistry({
      folder: join(imageCache(projectRoot), "odd-registry"),
      port: registry.port,
    });
    cleanup.add(() => registry.stop());
  };
  await using lab = await startLab({ config });
  const expected = await trueSha256(lab, image);
  await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
  t.equal(
    (await runInContainer(lab, image, "cat /data/keep")).stdout,
    "keep\n",
    "starts while the registry lives",
  );

  await registry.stop("SIGKILL");
  const dead = await runInContainer(lab, image, "sha256sum /data/large");
  t.not(dead.code, 0, "an uncached read ends with an error at the deadline");
  t.notMatch(dead.stdout, /^[0-9a-f]{64}/, "and gives no content");
  t.equal(
    (await runInContainer(lab, image, "cat /data/keep")).stdout,
    "keep\n",
    "cached files are still read",
  );

  const waiting = runInContainer(lab, image, "sha256sum /data/large");
  await delay(2000);
  await again();
  t.equal((await waiting).stdout.slice(0, 64), expected, "a read that waited gets the right bytes");
  await registry.stop("SIGKILL");

  await lab.restart();
  t.equal(
    (await runInContainer(lab, image, "cat /data/keep")).stdout,
    "keep\n",
    "after a restart without network",
  );
  t.equal((await runInContainer(lab, image, "sha256sum /data/large")).stdout.slice(0, 64), expected);
  const status = JSON.parse((await lab.snapshotter.lazuli(["status", "--json"])).stdout);
  for (const layer of status.layers) t.equal(layer.fetchedBytes, 0, "nothing was downloaded again");

  await lab.snapshotter.stop();
  t.ok((await damageDataFiles(lab.snapshotter.root)) > 0, "bytes of the data files are damaged");
  await lab.restart();
  // The mounts have outlived the restart, and with them the pages that the kernel had.
  await dropCaches();
  const damaged = await runInContainer(lab, image, "sha256sum /data/large");
  t.not(damaged.code, 0, "damaged bytes are not served");
  await again();
  // For a moment after a deadline, reads of the same units share its outcome.
  await delay(500);
  const healed = await runInContainer(lab, image, "sha256sum /data/large");
  t.equal(healed.stdout.slice(0, 64), expected, "they are fetched again");
});

/** Flips a byte in every 64 KiB of every data file. */
async function damageDataFiles(root: string): Promise<number> {
  const layers = join(root, "layers", "v1");
  let flipped = 0;
  for (const name of await readdir(layers)) {
    const file = await open(join(layers, name, "data"), "r+");
    const { size } = await file.stat();
    for (let offset = 100; offset < size; offset += 65_536) {
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, offset);
      await file.write(Buffer.from([byte[0]! ^ 0x55]), 0, 1, offset);
      flipped += 1;
    }
    await file.sync();
    await file.close();
  }
  return flipped;
}
