import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import {
  chainId,
  chainIds,
  imageLayers,
  layerType,
  mediaTypes,
  parseImageConfig,
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
  selectPlatform,
} from "../../src/oci/index.js";

const digest = (text: string): Digest => sha256(Buffer.from(text));
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const layer = { mediaType: mediaTypes.ociLayerGzip, digest: digest("layer"), size: 5 };
const config = { mediaType: mediaTypes.ociConfig, digest: digest("config"), size: 7 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [{ ...config, mediaType: mediaTypes.ociManifest }],
};

t.test("parseManifest() reads a manifest and forgets what it does not know", async (t) => {
  const annotated = {
    ...layer,
    annotations: { a: "b", toString: "c" },
    urls: ["file:///etc/passwd"],
    data: "AAAA",
  };
  const read = parseManifest(json({ ...manifest, layers: [annotated, layer], future: { deep: [1] } }));
  t.equal(read.layers.length, 2);
  t.same(Object.keys(read.layers[0]!).sort(), ["annotations", "digest", "mediaType", "platform", "size"]);
  t.equal(read.layers[0]!.annotations.a, "b");
  t.equal(read.layers[0]!.annotations.toString, "c");
  t.equal(read.layers[1]!.annotations.constructor, undefined);
  t.equal(read.config.size, 7);
  t.equal(read.mediaType, mediaTypes.ociManifest);
});

t.test("parseManifestOrIndex() tells the two apart", async (t) => {
  t.equal(parseManifestOrIndex(json(manifest)).kind, "manifest");
  t.equal(parseManifestOrIndex(json(index)).kind, "index");
  const { mediaType: _, ...untyped } = manifest;
  t.equal(parseManifestOrIndex(json(untyped)).mediaType, mediaTypes.ociManifest);
  const contentType = `${mediaTypes.dockerManifest}; charset=utf-8`;
  t.equal(parseManifestOrIndex(json(untyped), { contentType }).mediaType, mediaTypes.dockerManifest);
  t.equal(parseManifestOrIndex(json(manifest), { contentType: "application/json" }).kind, "manifest");
  t.throws(() => parseIndex(json(manifest)), { code: "INVALID_ARGUMENT", reason: "index-invalid" });
  t.throws(() => parseManifest(json(index)), { code: "INVALID_ARGUMENT", reason: "manifest-invalid" });
});

t.test(
  "parseManifestOrIndex() refuses what two readers could read differently or what is malformed",
  async (t) => {
    const withLayer = (fields: object): object => ({ ...manifest, layers: [{ ...layer, ...fields }] });
    const cases: Readonly<Record<string, unknown>> = {
      "no object": [],
      "no schemaVersion": { ...manifest, schemaVersion: undefined },
      "schemaVersion 1": { ...manifest, schemaVersion: 1 },
      "schemaVersion as text": { ...manifest, schemaVersion: "2" },
      "layers and manifests": { ...manifest, manifests: [] },
      "index with config": { ...index, config },
      "index with layers": { ...index, layers: [] },
      "schema 1 inside": { ...manifest, fsLayers: [] },
      "Layers for layers": { schemaVersion: 2, config, Layers: [layer] },
      "layers and Layers": { ...manifest, LAYERS: [] },
      "mediaType of an index": { ...manifest, mediaType: mediaTypes.ociIndex },
      "mediaType as number": { ...manifest, mediaType: 1 },
      "no config": { ...manifest, config: undefined },
      "config as text": { ...manifest, config: digest("config") },
      "no layers": { ...manifest, layers: undefined },
      "layers as object": { ...manifest, layers: {} },
      "501 layers": { ...manifest, layers: Array(501).fill(layer) },
      "null layer": { ...manifest, layers: [null] },
      "size -1": withLayer({ size: -1 }),
      "size 1.5": withLayer({ size: 1.5 }),
      "size 2^53": withLayer({ size: 2 ** 53 }),
      "size as text": withLayer({ size: "5" }),
      "no size": withLayer({ size: undefined }),
      "no mediaType": withLayer({ mediaType: undefined }),
      "mediaType with newline": withLayer({ mediaType: "application/x\n" }),
      "annotation as number": withLayer({ annotations: { a: 1 } }),
      "annotations as array": withLayer({ annotations: ["a"] }),
      "annotation of 300 KB": withLayer({ annotations: { a: "x".repeat(300_000) } }),
      "platform as text": withLayer({ platform: "linux" }),
    };
    for (const [name, value] of Object.entries(cases)) {
      t.throws(
        () => parseManifestOrIndex(json(value)),
        { code: "INVALID_ARGUMENT", reason: "manifest-invalid" },
        name,
      );
    }
    for (const text of [
      "sha256:abc",
      digest("x").toUpperCase(),
      "sha256",
      5,
      null,
      `md5:${"0".repeat(32)}`,
      `${digest("x")} `,
    ]) {
      t.throws(
        () => parseManifest(json(withLayer({ digest: text }))),
        { code: "INVALID_ARGUMENT", reason: "digest-invalid" },
        String(text),
      );
    }
    const sent = { contentType: mediaTypes.dockerManifest };
    t.throws(
      () => parseManifestOrIndex(json(manifest), sent),
      { code: "INVALID_ARGUMENT", reason: "manifest-invalid" },
      "other Content-Type",
    );
    const huge = Buffer.concat([json(manifest), Buffer.alloc(4 * 1024 * 1024, " ")]);
    t.throws(() => parseManifestOrIndex(huge), { code: "RESOURCE_EXHAUSTED", reason: "json-too-large" });
    const deep = `{"schemaVersion":2,"x":${"[".repeat(10_000)}${"]".repeat(10_000)}}`;
    t.throws(() => parseManifestOrIndex(Buffer.from(deep)), {
      code: "RESOURCE_EXHAUSTED",
      reason: "json-too-deep",
    });
    t.equal(parseManifest(json({ ...manifest, layers: Array(500).fill(layer) })).layers.length, 500);
  },
);

t.test("imageLayers() joins descriptors, diff ids and chain ids", async (t) => {
  const diffIds = [digest("one"), digest("two"), digest("three")];
  const image = {
    os: "linux",
    architecture: "arm64",
    variant: "v8",
    rootfs: { type: "layers", diff_ids: diffIds },
  };
  const read = parseImageConfig(json({ ...image, config: { Env: ["A=1"] } }));
  t.same(read.platform, { os: "linux", architecture: "arm64", variant: "v8" });
  const second = digest(`${diffIds[0]} ${diffIds[1]}`);
  t.same(chainIds(diffIds), [diffIds[0], second, digest(`${second} ${diffIds[2]}`)]);
  t.equal(chainId(diffIds.slice(0, 1)), diffIds[0]);
  t.equal(chainId([]), undefined);
  const three = parseManifest(json({ ...manifest, layers: [layer, layer, layer] }));
  const layers = imageLayers(three, read);
  t.same(
    layers.map((one) => one.chainId),
    chainIds(diffIds),
  );
  t.same(
    layers.map((one) => one.diffId),
    diffIds,
  );
  const fewer = parseManifest(json(manifest));
  t.throws(() => imageLayers(fewer, read), { code: "INVALID_ARGUMENT", reason: "diff-ids-mismatch" });
});

t.test("parseImageConfig() refuses what is malformed", async (t) => {
  const rootfs = { type: "layers", diff_ids: [digest("x")] };
  const cases: Readonly<Record<string, unknown>> = {
    "no rootfs": { os: "linux" },
    "rootfs as array": { rootfs: [] },
    "other rootfs type": { rootfs: { ...rootfs, type: "tar" } },
    "diff_ids as text": { rootfs: { ...rootfs, diff_ids: digest("x") } },
    "501 diff_ids": { rootfs: { ...rootfs, diff_ids: Array(501).fill(digest("x")) } },
    "os as number": { rootfs, os: 1 },
    "RootFS beside rootfs": { rootfs, RootFS: rootfs },
  };
  for (const [name, value] of Object.entries(cases)) {
    t.throws(
      () => parseImageConfig(json(value)),
      { code: "INVALID_ARGUMENT", reason: "image-config-invalid" },
      name,
    );
  }
  t.throws(() => parseImageConfig(json({ rootfs: { type: "layers", diff_ids: ["x"] } })), {
    code: "INVALID_ARGUMENT",
    reason: "digest-invalid",
  });
  t.same(parseImageConfig(json({ rootfs: { type: "layers", diff_ids: null } })).diffIds, []);
});

t.test("layerType() tells compression, distribution and encryption", async (t) => {
  const layers: readonly [string, string, boolean, boolean][] = [
    [mediaTypes.ociLayer, "none", true, false],
    [mediaTypes.ociLayerGzip, "gzip", true, false],
    [mediaTypes.ociLayerZstd, "zstd", true, false],
    [mediaTypes.dockerLayer, "none", true, false],
    [mediaTypes.dockerLayerGzip, "gzip", true, false],
    [mediaTypes.dockerLayerZstd, "zstd", true, false],
    ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip", false, false],
    ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip", false, false],
    ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "gzip", true, true],
    ["application/vnd.oci.image.layer.v1.tar+encrypted", "none", true, true],
  ];
  for (const [mediaType, compression, distributable, encrypted] of layers) {
    t.same(layerType(mediaType), { compression, distributable, encrypted }, mediaType);
  }
  for (const other of [mediaTypes.ociConfig, "application/vnd.in-toto+json", "", "tar", "x/toString.tar"]) {
    t.equal(layerType(other), undefined, other);
  }
});

t.test("selectPlatform() takes the best manifest that the machine can run", async (t) => {
  const offer = (...names: string[]) => {
    const manifests = names.map((name) => {
      const [os, architecture, variant] = name.split("/");
      return {
        mediaType: mediaTypes.ociManifest,
        digest: digest(name),
        size: 1,
        platform: { os, architecture, variant },
      };
    });
    return parseIndex(json({ ...index, manifests }));
  };
  const cases: readonly [string[], string, string | undefined][] = [
    [["linux/arm64", "linux/amd64"], "linux/amd64", "linux/amd64"],
    [["linux/amd64/v3", "linux/amd64"], "linux/amd64", "linux/amd64"],
    [["linux/amd64", "linux/amd64/v3"], "linux/amd64/v3", "linux/amd64/v3"],
    [["linux/x86_64"], "linux/amd64", "linux/x86_64"],
    [["linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"],
    [["linux/arm/v7", "linux/aarch64"], "linux/arm64", "linux/aarch64"],
    [["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"],
    [["linux/arm/v7"], "linux/arm/v6", undefined],
    [["windows/amd64", "unknown/unknown"], "linux/amd64", undefined],
    [["linux/riscv64"], "linux/riscv64", "linux/riscv64"],
    [[], "linux/amd64", undefined],
  ];
  for (const [offered, wanted, chosen] of cases) {
    const [os, architecture, variant] = wanted.split("/") as [string, string, string | undefined];
    const name = `${wanted} of ${offered}`;
    const choose = () => selectPlatform(offer(...offered), { os, architecture, variant });
    if (chosen === undefined) t.throws(choose, { code: "NOT_FOUND", reason: "platform-missing" }, name);
    else t.equal(choose().digest, digest(chosen), name);
  }
  const single = parseIndex(json(index));
  t.equal(selectPlatform(single, { os: "linux", architecture: "amd64" }).digest, digest("config"));
});
