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
import {
  type ConversionRequest,
  type ConversionRig,
  conversionRig,
} from "../../testing/transfer/converted.js";

const variants: Readonly<Record<string, ConversionRequest["layers"]>> = {
  estargz: { format: "estargz", chunkSizeBytes: 65_536 },
  shared: { format: "estargz", streamSizeMinBytes: 50_000 },
  prioritized: { format: "estargz", prioritized: ["etc/passwd", "hard/two", "data/large", "nowhere"] },
  external: { format: "estargz", isTocExternal: true },
  zstdchunked: { format: "zstdchunked" },
  "zstdchunked-prioritized": { format: "zstdchunked", prioritized: ["perms/capable"] },
  containers: { format: "zstdchunked", dialect: "containers" },
  uncompressed: { format: "uncompressed" },
};

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
