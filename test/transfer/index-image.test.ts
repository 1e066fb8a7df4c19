import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import type { LayerIndexSource } from "../../src/layer/index.js";
import { imageLayers, mediaTypes, parseImageConfig, parseIndex, parseManifest } from "../../src/oci/index.js";
import { Registry } from "../../src/registry/index.js";
import {
  embeddedSociIndexes,
  encodeZtoc,
  parseSociIndex,
  readZtoc,
  sociAnnotations,
  sociConfigBytes,
} from "../../src/soci/index.js";
import {
  indexImage,
  layoutSource,
  layoutTarget,
  pushIndexes,
  registrySource,
  registryTarget,
} from "../../src/transfer/index.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { oddImageArchive } from "../../testing/rig/odd-image.js";
import { listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { conversionRig } from "../../testing/transfer/converted.js";
import { SmallImages, tarOf } from "../../testing/transfer/small-image.js";
import { buildSoci } from "../soci/builder.js";
import { sampleLayer } from "../soci/sample-layer.js";
import { importLayers, startSociTool } from "../soci/soci-tool.js";

const shared = await mkdtemp(join(tmpdir(), "lazuli-index-odd-"));
t.teardown(() => rm(shared, { recursive: true, force: true }));
const archive = await oddImageArchive({ folder: shared });

async function readLayout(layout: string, digest: string): Promise<Buffer> {
  return await readFile(join(layout, "blobs", "sha256", digest.slice(7)));
}

t.test("indexImage() learns of a layer what soci writes of it", async (t) => {
  await using tool = await startSociTool();
  await using rig = await conversionRig();
  const samples = [buildSoci(sampleLayer), buildSoci(sampleLayer, { algorithm: "uncompressed" })];
  await importLayers(
    tool,
    "lazuli.test/sample:latest",
    samples.map(({ blob }) => blob),
  );
  await tool.run("create", "--span-size", "65536", "--min-layer-size", "0", "lazuli.test/sample:latest");
  const theirs = new Map<string, Buffer>();
  for (const name of await readdir(tool.blobs)) {
    const bytes = await readFile(join(tool.blobs, name));
    if (bytes[0] !== 0x7b) theirs.set(`${readZtoc(bytes).algorithm}`, bytes);
  }
  const images = new SmallImages(join(rig.folder, "in"));
  const layers = samples.map(({ tar, blob, algorithm }) => ({
    tar,
    blob,
    mediaType: algorithm === "gzip" ? mediaTypes.ociLayerGzip : mediaTypes.ociLayer,
  }));
  await images.name("v1", await images.image(layers));
  const out = join(rig.folder, "out");
  const { digest } = await indexImage({
    source: await layoutSource(images.folder, "v1"),
    target: await layoutTarget(out, "v1"),
    platforms: "all",
    spanSizeBytes: 65_536,
    layerSizeMinBytes: 0,
    scratchFolder: rig.scratch,
  });
  const list = parseIndex(await readLayout(out, digest));
  const index = parseSociIndex(await readLayout(out, list.manifests[0]!.digest));
  for (const { blob, algorithm } of samples) {
    const ours = await readLayout(out, index.ztocs.get(sha256(blob))!.digest);
    const wanted = readZtoc(theirs.get(algorithm)!);
    // Of an entry's PAX records, a reader of SOCI's looks at attributes only.
    const entries = [...wanted.entries()].map((entry) => ({
      ...entry,
      paxRecords: entry.paxRecords.filter(({ key }) => key.startsWith("SCHILY.xattr.")),
    }));
    t.ok(encodeZtoc({ ...wanted, entries, buildTool: "lazuli" }).equals(ours), algorithm);
  }
});

t.test("converted and indexed layers are mounted lazily with the tree of the tar", async (t) => {
  await using rig = await conversionRig();
  const out = join(rig.folder, "out");
  const plain = await rig.convert({
    from: `oci-archive:${archive}`,
    to: `oci:${out}:plain`,
    layers: { format: "uncompressed" },
  });
  const base = parseManifest(await readLayout(out, plain.digest)).layers[0]!;
  const tree = join(rig.folder, "tree");
  const untar = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"];
  await command("mkdir", [tree]);
  await command("tar", ["-C", tree, ...untar, join(out, "blobs/sha256", base.digest.slice(7))]);
  // containerd unpacks times before 1970 as 1970, and so does a lazy mount; tar does not.
  await command("touch", ["-d", "@0", join(tree, "data/before-1970")]);
  const wanted = await treeListing(tree);
  const mounted = async (digest: string, index: LayerIndexSource): Promise<string[]> => {
    await using engineRig = await EngineRig.make();
    const source = new MemorySource(await readLayout(out, digest));
    const engine = await engineRig.open();
    const origin = { reference: "memory.example/sample:1", size: source.size };
    await engine.ensure(
      { digest: source.digest, mediaType: "", index, openSource: async () => source, origin },
      {},
    );
    t.ok(source.fetchedBytes < source.size / 2, "its content is not here yet");
    return await treeListing(await engine.mountPoint(source.digest));
  };
  for (const layers of [
    { format: "estargz", streamSizeMinBytes: 65_536 },
    { format: "zstdchunked" },
    { format: "zstdchunked", dialect: "containers" },
  ] as const) {
    const { digest } = await rig.convert({ from: `oci-archive:${archive}`, to: `oci:${out}:lazy`, layers });
    const layer = parseManifest(await readLayout(out, digest)).layers[0]!;
    const tocDigest = layer.annotations["containerd.io/snapshot/stargz/toc.digest"] as typeof layer.digest;
    const index: LayerIndexSource =
      layers.format === "estargz"
        ? { kind: "estargz", tocDigest }
        : { kind: "zstdchunked", annotations: layer.annotations };
    t.same(listingDifference(wanted, await mounted(layer.digest, index)), [], JSON.stringify(layers));
  }
  const soci = await rig.convert({
    from: `oci-archive:${archive}`,
    to: `oci:${out}:soci`,
    layers: { format: "soci", spanSizeBytes: 65_536, layerSizeMinBytes: 1000 },
  });
  t.same(
    soci.manifests[0]!.layers.map(({ action, note }) => note ?? action),
    ["indexed", "layer-small", "layer-small"],
  );
  const [embedded] = embeddedSociIndexes(await readLayout(out, soci.digest));
  const manifestDigest = embedded!.imageManifestDigest!;
  t.equal(manifestDigest, soci.manifests[0]!.target);
  const manifestBytes = await readLayout(out, manifestDigest);
  t.equal(JSON.parse(manifestBytes.toString()).annotations[sociAnnotations.indexDigest], embedded!.digest);
  const manifest = parseManifest(manifestBytes);
  const [layer] = imageLayers(manifest, parseImageConfig(await readLayout(out, manifest.config.digest)));
  const { ztocs } = parseSociIndex(await readLayout(out, embedded!.digest));
  const { digest } = ztocs.get(layer!.descriptor.digest)!;
  const ztoc = await readLayout(out, digest);
  const index: LayerIndexSource = {
    kind: "soci",
    load: async () => ({ ztoc, digest }),
    diffId: layer!.diffId,
    otherwise: undefined,
  };
  t.same(listingDifference(wanted, await mounted(layer!.descriptor.digest, index)), [], "soci");
  await command("skopeo", ["copy", "-q", `oci:${out}:soci`, `oci:${join(rig.folder, "copy")}:soci`]);
});

t.test(
  "pushIndexes() lets the registry tell of an index, by the tag where it has no referrers",
  async (t) => {
    await using cleanup = new Cleanup();
    await using rig = await conversionRig();
    const server = await startDockerRegistry({ folder: join(rig.folder, "registry") });
    cleanup.add(() => server.stop());
    const registry = new Registry({ dockerConfigPaths: [] });
    cleanup.add(() => registry.close());
    const images = new SmallImages(join(rig.folder, "in"));
    const image = await images.image([{ tar: tarOf({ a: Buffer.alloc(200_000, "a") }) }]);
    const local = await images.name("v1", image);
    const reference = `${server.host}/app:v1`;
    const out = join(rig.folder, "out");
    const make = async (spanSizeBytes: number, name: string) =>
      await indexImage({
        source: await layoutSource(images.folder, "v1"),
        target: await layoutTarget(out, name),
        platforms: "all",
        spanSizeBytes,
        layerSizeMinBytes: 0,
        scratchFolder: rig.scratch,
      });
    const push = async (name: string) =>
      await pushIndexes({
        source: await layoutSource(out, name),
        target: await registryTarget(registry, reference),
        place: registrySource(registry, reference),
      });
    await make(65_536, "first");
    await t.rejects(push("first"), { code: "FAILED_PRECONDITION", reason: "subject-missing" });
    await command("skopeo", ["copy", "-q", "--dest-tls-verify=false", local, `docker://${reference}`]);
    const [first] = await push("first");
    t.match(first, { subject: image.digest, listedBy: "tag" });
    await make(131_072, "second");
    const [second] = await push("second");
    const found = await registry.referrers({ reference, subject: image.digest });
    t.same(
      found.map(({ digest }) => digest),
      [first!.digest, second!.digest],
      "both are listed",
    );
    const { bytes } = await registry.fetchManifest({ reference: `${server.host}/app@${first!.digest}` });
    t.equal(parseSociIndex(bytes, { subject: image.digest }).ztocs.size, 1);
    t.equal(parseManifest(bytes).config.digest, sha256(sociConfigBytes));
    await t.rejects(
      indexImage({
        source: await layoutSource(images.folder, "v1"),
        target: await layoutTarget(out, "none"),
        platforms: "all",
        scratchFolder: rig.scratch,
      }),
      { code: "FAILED_PRECONDITION", reason: "soci-empty" },
    );
  },
);
