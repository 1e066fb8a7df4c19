import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseManifest } from "../../src/oci/index.js";
import { command } from "../../testing/rig/command.js";
import { oddImageArchive } from "../../testing/rig/odd-image.js";
import { listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { conversionRig } from "../../testing/transfer/converted.js";

import { conversionVariants as variants } from "../../testing/transfer/variants.js";

const shared = await mkdtemp(join(tmpdir(), "lazuli-convert-odd-"));
t.teardown(() => rm(shared, { recursive: true, force: true }));
const archive = await oddImageArchive({ folder: shared });

t.test("convertImage() makes images that umoci unpacks to the same tree", async (t) => {
  await using rig = await conversionRig();
  const out = join(rig.folder, "out");
  await command("skopeo", ["copy", "-q", `oci-archive:${archive}:latest`, `oci:${out}:source`]);
  const unpack = async (name: string): Promise<string[]> => {
    const bundle = join(rig.folder, `bundle-${name}`);
    await command("umoci", ["unpack", "--image", `${out}:${name}`, bundle]);
    return await treeListing(join(bundle, "rootfs"));
  };
  const wanted = await unpack("source");
  for (const name of ["estargz", "external", "prioritized", "uncompressed"]) {
    await rig.convert({ from: `oci:${out}:source`, to: `oci:${out}:${name}`, layers: variants[name]! });
    t.same(listingDifference(wanted, await unpack(name)), [], name);
  }
});

t.test("convertImage() keeps the diff ids where the tar stays as it is", async (t) => {
  await using rig = await conversionRig();
  const out = join(rig.folder, "out");
  const source = await rig.convert({
    from: `oci-archive:${archive}`,
    to: `oci:${out}:source`,
    layers: { format: "uncompressed" },
  });
  const configOf = async (digest: string): Promise<string> =>
    parseManifest(await readFile(join(out, "blobs", "sha256", digest.slice(7)))).config.digest;
  const wanted = await configOf(source.digest);
  for (const name of ["external", "zstdchunked", "containers"]) {
    const report = await rig.convert({
      from: `oci:${out}:source`,
      to: `oci:${out}:${name}`,
      layers: variants[name]!,
    });
    t.equal(await configOf(report.digest), wanted, name);
  }
  const estargz = await rig.convert({
    from: `oci:${out}:source`,
    to: `oci:${out}:e`,
    layers: variants.estargz!,
  });
  t.not(await configOf(estargz.digest), wanted, "the TOC is in the tar");
});

t.test("convertImage() makes the same bytes with one thread and with four", async (t) => {
  await using rig = await conversionRig();
  for (const name of ["shared", "containers"]) {
    const convert = async (workers: number): Promise<string> => {
      const to = `oci:${join(rig.folder, `${name}-${workers}`)}`;
      return (await rig.convert({ from: `oci-archive:${archive}`, to, layers: variants[name]!, workers }))
        .digest;
    };
    t.equal(await convert(1), await convert(4), name);
  }
});
