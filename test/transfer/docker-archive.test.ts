import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t, { type Test } from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { parseImageConfig, parseManifest } from "../../src/oci/index.js";
import { Registry } from "../../src/registry/index.js";
import { openImageSource, parseImageLocation } from "../../src/transfer/index.js";
import { command } from "../../testing/rig/command.js";
import { conversionRig } from "../../testing/transfer/converted.js";
import { SmallImages, tarOf } from "../../testing/transfer/small-image.js";

const tars = [tarOf({ "a.txt": "hello" }), tarOf({ "b.bin": Buffer.alloc(100_000, "b") })];

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-docker-archive-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Saved {
  readonly images?: unknown;
  readonly layer?: Buffer;
}

/** Two images as older Dockers save them: the second has the first's layer by a link. */
async function saved(folder: string, { images, layer = tars[0]! }: Saved = {}): Promise<string> {
  const place = join(folder, "saved");
  await mkdir(join(place, "one"), { recursive: true });
  await mkdir(join(place, "two"));
  await writeFile(join(place, "one", "layer.tar"), layer);
  await command("ln", ["-s", "../one/layer.tar", join(place, "two", "layer.tar")]);
  const rootfs = { type: "layers", diff_ids: [sha256(layer)] };
  for (const name of ["one", "two"]) {
    const config = { architecture: "amd64", os: "linux", config: { Cmd: [name] }, rootfs };
    await writeFile(join(place, `${name}.json`), JSON.stringify(config));
  }
  const list = images ?? [
    { Config: "one.json", RepoTags: ["lazuli.test/one:v1", "one:latest"], Layers: ["one/layer.tar"] },
    { Config: "two.json", RepoTags: null, Layers: ["two/layer.tar"] },
  ];
  await writeFile(join(place, "manifest.json"), JSON.stringify(list));
  const archive = join(folder, "saved.tar");
  await command("tar", ["-C", place, "-cf", archive, "manifest.json", "one.json", "two.json", "one", "two"]);
  return archive;
}

t.test("convertImage() takes what skopeo writes as docker-archive, and keeps tars and config", async (t) => {
  await using rig = await conversionRig();
  const images = new SmallImages(join(rig.folder, "in"));
  const source = await images.name("v1", await images.image(tars.map((tar) => ({ tar }))));
  const archive = join(rig.folder, "image.tar");
  const words = ["--insecure-policy", "copy", "-q", source];
  await command("skopeo", [...words, `docker-archive:${archive}:lazuli.test/app:v1`]);
  const out = join(rig.folder, "out");
  const blobOf = async (digest: string) => await readFile(join(out, "blobs", "sha256", digest.slice(7)));
  for (const name of ["", ":lazuli.test/app:v1"]) {
    const { digest, manifests } = await rig.convert({
      from: `docker-archive:${archive}${name}`,
      to: `oci:${out}:v1`,
      layers: { format: "zstdchunked" },
    });
    t.equal(manifests[0]!.layers.length, 2);
    const { config } = parseManifest(await blobOf(digest));
    t.same(
      parseImageConfig(await blobOf(config.digest)).diffIds,
      tars.map((tar) => sha256(tar)),
    );
  }
  const { digest } = await rig.convert({
    from: `docker-archive:${archive}`,
    to: `oci:${out}:plain`,
    layers: { format: "uncompressed" },
  });
  const layers = parseManifest(await blobOf(digest)).layers;
  for (const [index, layer] of layers.entries()) t.ok((await blobOf(layer.digest)).equals(tars[index]!));
});

t.test(
  "openImageSource() finds images of a docker-archive by their names, and says what is wrong",
  async (t) => {
    const registry = new Registry({ dockerConfigPaths: [] });
    t.teardown(() => registry.close());
    const folder = await folderFor(t);
    const archive = await saved(folder);
    const open = async (name: string) =>
      await openImageSource(parseImageLocation(`docker-archive:${archive}${name}`), { registry });
    for (const name of [":lazuli.test/one:v1", ":docker.io/library/one", ":one"]) {
      await using source = await open(name);
      const { config, layers } = parseManifest((await source.root()).bytes);
      const pieces: Buffer[] = [];
      for await (const piece of (await source.openBlob(layers[0]!)).readRange({
        offset: 0,
        length: layers[0]!.size,
      })) {
        pieces.push(piece);
      }
      t.ok(Buffer.concat(pieces).equals(tars[0]!), name);
      t.equal((await source.openBlob(config)).size, config.size);
    }
    await t.rejects(open(""), { code: "INVALID_ARGUMENT", reason: "image-ambiguous" });
    await t.rejects(open(":two"), { code: "NOT_FOUND", reason: "image-missing" });
    await t.rejects(open(":UPPER CASE"), { code: "INVALID_ARGUMENT" });
  },
);

t.test("openImageSource() follows the links of a docker-archive, and refuses what is none", async (t) => {
  const registry = new Registry({ dockerConfigPaths: [] });
  t.teardown(() => registry.close());
  const open = async (saved: Promise<string>) =>
    await openImageSource(parseImageLocation(`docker-archive:${await saved}`), { registry });
  const linked = [{ Config: "two.json", Layers: ["two/layer.tar"] }];
  await using source = await open(saved(await folderFor(t), { images: linked }));
  const { layers } = parseManifest((await source.root()).bytes);
  t.same(
    layers.map(({ digest, size }) => [digest, size]),
    [[sha256(tars[0]!), tars[0]!.length]],
  );
  for (const [images, wanted] of [
    [{}, { code: "INVALID_ARGUMENT", reason: "archive-invalid" }],
    [[null], { code: "INVALID_ARGUMENT", reason: "archive-invalid" }],
    [[{ Config: "one.json", Layers: [7] }], { code: "INVALID_ARGUMENT", reason: "archive-invalid" }],
    [[{ Config: "one.json", Layers: [] }], { code: "INVALID_ARGUMENT", reason: "archive-invalid" }],
    [[{ Config: "one.json", Layers: ["nowhere"] }], { code: "DATA_LOSS", reason: "blob-missing" }],
    [[{ Config: "/etc/passwd", Layers: ["one/layer.tar"] }], { code: "DATA_LOSS", reason: "blob-missing" }],
    [[], { code: "NOT_FOUND", reason: "image-missing" }],
  ] as const) {
    await t.rejects(open(saved(await folderFor(t), { images })), wanted, JSON.stringify(images));
  }
  const packed = { layer: gzipSync(tars[0]!), images: linked };
  const compressed = { code: "INVALID_ARGUMENT", reason: "archive-compressed" };
  await t.rejects(open(saved(await folderFor(t), packed)), compressed);
});
