import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { type Digest, parseDigest, sha256 } from "../../src/bytes/index.js";
import { compileToc, openToc, TOC_DIGEST_ANNOTATION } from "../../src/estargz/index.js";
import { mediaTypes, parseImageConfig, parseIndex, parseManifest } from "../../src/oci/index.js";
import type { LayerReport } from "../../src/transfer/index.js";
import { command } from "../../testing/rig/command.js";
import { type ConversionRig, conversionRig } from "../../testing/transfer/converted.js";
import { gnuTar, type MadeManifest, SmallImages, tarOf } from "../../testing/transfer/small-image.js";
import { compileBlob, openBlob } from "../../testing/zstdchunked-read.js";

const tar = tarOf({ "a.txt": "hello", "b.bin": Buffer.alloc(10_000, "b") });

async function blobOf(rig: ConversionRig, digest: string): Promise<Buffer> {
  return await readFile(join(rig.folder, "out", "blobs", "sha256", digest.slice(7)));
}

function actions(layers: readonly LayerReport[]): string[] {
  return layers.map(({ action, note }) => (note === undefined ? action : `${action} ${note}`));
}

t.test("convertImage() passes layers through that have the format", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const from = await images.name("v1", await images.image([{ tar }]));
  for (const format of ["estargz", "zstdchunked", "uncompressed"] as const) {
    const to = `oci:${join(rig.folder, "out")}:${format}`;
    const first = await rig.convert({ from, to, layers: { format } });
    const second = await rig.convert({ from: to, to: `${to}-again`, layers: { format } });
    t.same(actions(second.manifests[0]!.layers), ["passed"], format);
    t.equal(second.digest, first.digest, "and the image is the same");
    const third = await rig.convert({ from: to, to: `${to}-back`, layers: { format: "estargz" } });
    t.same(actions(third.manifests[0]!.layers), [format === "estargz" ? "passed" : "converted"]);
  }
});

t.test("convertImage() makes an eStargz layer of a zstd:chunked one and back", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const from = await images.name("v1", await images.image([{ tar }]));
  const out = `oci:${join(rig.folder, "out")}`;
  await rig.convert({ from, to: `${out}:esgz`, layers: { format: "estargz" } });
  await rig.convert({ from: `${out}:esgz`, to: `${out}:zstd`, layers: { format: "zstdchunked" } });
  const { digest } = await rig.convert({
    from: `${out}:zstd`,
    to: `${out}:plain`,
    layers: { format: "uncompressed" },
  });
  const layer = parseManifest(await blobOf(rig, digest)).layers[0]!;
  t.ok((await blobOf(rig, layer.digest)).equals(tar), "the TOC and the landmark are gone again");
});

t.test("convertImage() leaves as they are what nobody can convert, and says why", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
  const encrypted = `${mediaTypes.ociLayerGzip}+encrypted`;
  const from = await images.name(
    "v1",
    await images.image([
      { tar },
      { tar, mediaType: foreign, blob: Buffer.from("elsewhere"), isElsewhere: true },
      {
        tar,
        mediaType: encrypted,
        blob: Buffer.from("secret"),
        annotations: { "org.opencontainers.image.enc.keys.jwe": "x" },
      },
      { tar: tarOf({ "not-\xff-text": "x" }) },
    ]),
  );
  const out = `oci:${join(rig.folder, "out")}:v1`;
  const report = await rig.convert({ from, to: out, layers: { format: "estargz" } });
  t.same(actions(report.manifests[0]!.layers), [
    "converted",
    "kept not-distributable",
    "kept encrypted",
    "kept toc-name-lossy",
  ]);
  const { layers } = parseManifest(await blobOf(rig, report.digest));
  t.match(layers[1], { mediaType: foreign, digest: sha256(Buffer.from("elsewhere")) });
  t.match(layers[2]!.annotations, { "org.opencontainers.image.enc.keys.jwe": "x" });
  await t.rejects(blobOf(rig, layers[1]!.digest), { code: "ENOENT" }, "it is not pushed");
  t.equal((await blobOf(rig, layers[2]!.digest)).toString(), "secret");
});

t.test("convertImage() refuses a layer that is not what its config or descriptor says", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const out = join(rig.folder, "out");
  const other = sha256(Buffer.from("other"));
  const cases: Readonly<Record<string, [string, MadeManifest]>> = {
    "diff-id-mismatch": ["DATA_LOSS", await images.image([{ tar, diffId: other }])],
    "layer-corrupt": [
      "INVALID_ARGUMENT",
      await images.image([{ tar, blob: Buffer.concat([Buffer.from("1f8b08", "hex"), tar]) }]),
    ],
  };
  for (const [reason, [code, manifest]] of Object.entries(cases)) {
    const from = await images.name(reason, manifest);
    await t.rejects(rig.convert({ from, to: `oci:${out}:v1`, layers: { format: "zstdchunked" } }), {
      code,
      reason,
    });
  }
  await t.rejects(readFile(join(out, "index.json")), { code: "ENOENT" }, "nothing got the name");
});

t.test("convertImage() gives Docker's images OCI's types, and keeps config and history", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const from = await images.name(
    "v1",
    await images.image([{ tar }, { tar: tarOf({ c: "c" }) }], { isDocker: true }),
  );
  const { digest } = await rig.convert({
    from,
    to: `oci:${join(rig.folder, "out")}:v1`,
    layers: { format: "estargz" },
  });
  const manifest = parseManifest(await blobOf(rig, digest));
  t.equal(manifest.mediaType, mediaTypes.ociManifest);
  t.equal(manifest.config.mediaType, mediaTypes.ociConfig);
  t.same(
    manifest.layers.map(({ mediaType }) => mediaType),
    [mediaTypes.ociLayerGzip, mediaTypes.ociLayerGzip],
  );
  const bytes = await blobOf(rig, manifest.config.digest);
  const config = JSON.parse(bytes.toString());
  t.same(config.history, [{ created_by: "step 0" }, { created_by: "step 1" }]);
  t.same(config.config, { Cmd: ["/x"] });
  t.equal(parseImageConfig(bytes).diffIds.length, 2);
});

t.test("convertImage() takes one platform or all, and what goes with them", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const platform = (architecture: string) => ({ platform: { os: "linux", architecture } });
  const amd64 = await images.image([{ tar }]);
  const arm64 = await images.image([{ tar: tarOf({ arm: "arm" }) }], { architecture: "arm64" });
  const statement = await images.blob(Buffer.from("statement"));
  const attestationOf = async (digest: Digest) => ({
    ...(await images.json(mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: await images.json(mediaTypes.ociConfig, { of: digest }),
      layers: [{ mediaType: "application/vnd.in-toto+json", ...statement }],
    })),
    platform: { os: "unknown", architecture: "unknown" },
    annotations: {
      "vnd.docker.reference.type": "attestation-manifest",
      "vnd.docker.reference.digest": digest,
    },
  });
  const artifact = await images.json(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: "application/vnd.example.chart", ...(await images.blob(Buffer.from("{}"))) },
    layers: [{ mediaType: "application/vnd.example.data", ...statement }],
  });
  const index = await images.json(mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [
      { ...amd64, ...platform("amd64") },
      { ...arm64, ...platform("arm64") },
      await attestationOf(amd64.digest),
      await attestationOf(arm64.digest),
      artifact,
    ],
    annotations: { kept: "yes" },
  });
  const from = await images.name("v1", index);
  const to = `oci:${join(rig.folder, "out")}`;
  const all = await rig.convert({ from, to: `${to}:all`, layers: { format: "estargz" } });
  t.same(
    all.manifests.map((one) => one.platform),
    ["linux/amd64", "linux/arm64"],
  );
  const whole = parseIndex(await blobOf(rig, all.digest));
  t.equal(whole.manifests.length, 5);
  t.equal(whole.annotations.kept, "yes");
  t.equal(whole.manifests[2]!.annotations["vnd.docker.reference.digest"], whole.manifests[0]!.digest);
  t.not(whole.manifests[0]!.digest, amd64.digest);
  t.equal(whole.manifests[4]!.digest, artifact.digest);
  t.ok((await blobOf(rig, statement.digest)).length > 0, "what is no image is copied");

  const platforms = [{ os: "linux", architecture: "arm64" }];
  const one = await rig.convert({ from, to: `${to}:one`, platforms, layers: { format: "estargz" } });
  const part = parseIndex(await blobOf(rig, one.digest));
  t.same(
    part.manifests.map(({ digest }) => digest),
    [whole.manifests[1]!.digest, whole.manifests[3]!.digest, artifact.digest],
  );
  const missing = rig.convert({
    from,
    to: `${to}:none`,
    platforms: [{ os: "linux", architecture: "s390x" }],
    layers: { format: "estargz" },
  });
  await t.rejects(missing, { code: "NOT_FOUND", reason: "platform-missing" });
});

t.test(
  "convertImage() writes sparse files whole, and leaves them alone where the tar must stay",
  async (t) => {
    await using rig = await conversionRig();
    const images = new SmallImages(join(rig.folder, "in"));
    const script = `
    printf start > holes; truncate -s 3000000 holes; printf middle >> holes; truncate -s 5000000 holes
    truncate -s 100000 empty; echo plain > plain; ln plain second`;
    const sparse = await gnuTar(rig.folder, script, ["-S", "--format=pax"]);
    const from = await images.name("v1", await images.image([{ tar: sparse }]));
    const to = `oci:${join(rig.folder, "out")}`;
    for (const dialect of ["stargz", "containers"] as const) {
      await rig.convert({ from, to: `${to}:zstd-${dialect}`, layers: { format: "zstdchunked", dialect } });
      const layers = { format: "uncompressed" } as const;
      const { digest } = await rig.convert({ from: `${to}:zstd-${dialect}`, to: `${to}:plain`, layers });
      const layer = parseManifest(await blobOf(rig, digest)).layers[0]!;
      const listing = await command(
        "bash",
        [
          "-euc",
          `mkdir ${dialect}; cd ${dialect}; tar -xf ${join(rig.folder, "out/blobs/sha256", layer.digest.slice(7))}
       stat -c '%n %s' *; sha256sum holes empty second`,
        ],
        { cwd: rig.folder },
      );
      const whole = Buffer.alloc(5_000_000);
      whole.write("start");
      whole.write("middle", 3_000_000);
      t.match(listing.stdout, `${sha256(whole).slice(7)}  holes`, dialect);
      t.match(listing.stdout, `${sha256(Buffer.alloc(100_000)).slice(7)}  empty`);
      t.match(listing.stdout, `${sha256(Buffer.from("plain\n")).slice(7)}  second`);
    }
    const layers = { format: "estargz", isTocExternal: true } as const;
    const kept = await rig.convert({ from, to: `${to}:external`, layers });
    t.same(actions(kept.manifests[0]!.layers), ["kept layer-entry-sparse"]);
  },
);

t.test(
  "convertImage() takes odd archives: empty, without an end, with things behind it, with global headers",
  async (t) => {
    await using rig = await conversionRig();
    const images = new SmallImages(join(rig.folder, "in"));
    const global = await gnuTar(rig.folder, "echo x > x", [
      "--format=pax",
      "--pax-option=globexthdr.name=g,comment=hi",
    ]);
    const tars = [
      Buffer.alloc(0),
      Buffer.alloc(1024),
      tar.subarray(0, tar.length - 1024),
      tar.subarray(0, tar.length - 1024 - 200),
      Buffer.concat([tar, Buffer.alloc(20_000, "junk")]),
      global,
    ];
    const from = await images.name("v1", await images.image(tars.map((one) => ({ tar: one }))));
    for (const layers of [
      { format: "estargz" },
      { format: "estargz", isTocExternal: true },
      { format: "zstdchunked" },
      { format: "zstdchunked", dialect: "containers" },
    ] as const) {
      const to = `oci:${join(rig.folder, "out")}:v1`;
      const report = await rig.convert({ from, to, layers });
      t.same(new Set(actions(report.manifests[0]!.layers)), new Set(["converted"]), JSON.stringify(layers));
      if (layers.format !== "estargz" || "isTocExternal" in layers) continue;
      for (const { digest, size, annotations } of parseManifest(await blobOf(rig, report.digest)).layers) {
        const blob = await blobOf(rig, digest);
        const opened = await openToc({
          blobSize: size,
          read: async ({ offset, length }) => blob.subarray(offset, offset + length),
          tocDigest: parseDigest(annotations[TOC_DIGEST_ANNOTATION]),
        });
        t.ok(compileToc({ ...opened, blobSize: size, blockSize: 4096 }).root, "and it can be opened");
      }
    }
  },
);

t.test("convertImage() marks zeros for containers/storage, and readers need not fetch them", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const zeros = (bytes: number): Buffer => Buffer.alloc(bytes);
  const block = 65_536;
  const files = {
    only: zeros(3 * block + 100),
    short: zeros(1000),
    inside: Buffer.concat([Buffer.from("before"), zeros(4 * block), Buffer.from("behind")]),
    behind: Buffer.concat([Buffer.alloc(block, "x"), zeros(block + 7)]),
    without: Buffer.alloc(2 * block, "data"),
  };
  const sparse = tarOf(files);
  const from = await images.name("v1", await images.image([{ tar: sparse }]));
  const layers = { format: "zstdchunked", dialect: "containers", chunkSizeBytes: 2 * block } as const;
  const { digest } = await rig.convert({ from, to: `oci:${join(rig.folder, "out")}:v1`, layers });
  const manifest = parseManifest(await blobOf(rig, digest));
  const layer = manifest.layers[0]!;
  const blob = await blobOf(rig, layer.digest);
  const { root, units } = compileBlob(blob, await openBlob(blob, layer.annotations));
  const { toc } = await openBlob(blob, layer.annotations);
  const { entries } = JSON.parse(toc.toString()) as {
    entries: readonly { name: string; chunkSize?: number; chunkOffset?: number; chunkType?: string }[];
  };
  const marked = entries
    .filter(({ chunkType }) => chunkType === "zeros")
    .map(({ name, chunkOffset = 0, chunkSize }) => [name, chunkOffset, chunkSize]);
  t.same(marked, [
    ["only", 0, 2 * block],
    ["only", 2 * block, block + 100],
    ["inside", block, 2 * block],
    ["inside", 3 * block, block],
    ["behind", block, block + 7],
  ]);
  t.ok(root.children.size === Object.keys(files).length);
  const fetched = units.reduce((sum, { dataLength }) => sum + dataLength, 0);
  const whole = Object.values(files).reduce((sum, { length }) => sum + length, 0);
  const left = marked.reduce((sum, [, , bytes]) => sum + Number(bytes), 0);
  t.equal(fetched, whole - left, "a unit for all others");
  const config = parseImageConfig(await blobOf(rig, manifest.config.digest));
  t.same(config.diffIds, [sha256(sparse)], "the tar is as it was");
  const plain = await rig.convert({
    from: `oci:${join(rig.folder, "out")}:v1`,
    to: `oci:${join(rig.folder, "out")}:plain`,
    layers: { format: "uncompressed" },
  });
  const back = parseManifest(await blobOf(rig, plain.digest)).layers[0]!;
  t.ok((await blobOf(rig, back.digest)).equals(sparse), "and comes back byte for byte");
});
