import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import t from "tap";
import { parseDigest, sha256 } from "../../src/bytes/index.js";
import { command } from "../../testing/rig/command.js";
import { tarOf } from "../../testing/transfer/small-image.js";
import { accessTo, linux, publish, type TransferRig, transferRig, wish } from "./transfer-rig.js";

const tar = tarOf({ "a.bin": randomBytes(100_000) });
const blob = gzipSync(tar);
const exported = {
  platforms: [],
  allPlatforms: false,
  skipCompatibilityManifest: false,
  skipNonDistributable: false,
};
const prefix = { isPrefix: true, allowOverwrite: false, addDigest: false, skipNamedDigest: false };

/** In pieces, as a stream brings it. */
async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 32_768) yield bytes.subarray(at, at + 32_768);
}

async function exportOf(rig: TransferRig, name: string, more: object = {}): Promise<Buffer> {
  const got: Uint8Array[] = [];
  const write = async (archive: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const piece of archive) got.push(piece);
  };
  await rig.transferrer.exportImages(rig.call, {
    store: wish({ name }),
    wish: { ...exported, ...more },
    write,
  });
  return Buffer.concat(got);
}

async function importInto(
  rig: TransferRig,
  bytes: Buffer,
  store = wish(),
  forceCompress = false,
): Promise<void> {
  await rig.transferrer.importImages(rig.call, { bytes: pieces(bytes), forceCompress, store });
}

async function filesOf(rig: TransferRig, archive: Buffer): Promise<string> {
  const path = join(rig.folder, "listed.tar");
  await writeFile(path, archive);
  return (await command("tar", ["-tf", path])).stdout;
}

function saved(rig: TransferRig): string[] {
  return rig.events.filter(({ event }) => event === "saved").map(({ name }) => name ?? "");
}

t.test("importImages() gives back what exportImages() wrote, also packed", async (t) => {
  const rig = await transferRig(t);
  const { reference, digest } = await publish(rig, [{ tar, blob }]);
  await rig.transferrer.pull(rig.call, { access: accessTo(reference), store: wish({ name: reference }) });
  const archive = await exportOf(rig, reference);
  const files = await filesOf(rig, archive);
  t.match(files, /^blobs\/\nblobs\/sha256\/\n/);
  for (const name of ["index.json", "manifest.json", "oci-layout", `blobs/sha256/${digest.slice(7)}`]) {
    t.ok(files.split("\n").includes(name), name);
  }
  t.notMatch(
    await filesOf(rig, await exportOf(rig, reference, { skipCompatibilityManifest: true })),
    "manifest.json",
  );
  for (const bytes of [archive, gzipSync(archive)]) {
    const other = await transferRig(t);
    const store = wish({ extraReferences: [{ ...prefix, name: "unused", allowOverwrite: true }] });
    await importInto(other, bytes, store);
    t.equal(other.images.get({ namespace: "default", name: reference }).target.digest, digest);
    t.same(saved(other), [reference]);
    t.match((await other.content.info(digest)).labels, { "containerd.io/gc.ref.content.l.0": sha256(blob) });
    t.same((await other.leftovers()).leases, []);
    t.same(await other.ingests(), []);
    t.ok((await exportOf(other, reference)).length > 0, "it can be exported again");
  }
});

t.test("importImages() names by prefix, digest and index, and unpacks", async (t) => {
  const rig = await transferRig(t);
  const { reference, digest } = await publish(rig, [{ tar, blob }]);
  await rig.transferrer.pull(rig.call, { access: accessTo(reference), store: wish({ name: reference }) });
  const archive = await exportOf(rig, reference);
  const name = reference.replace(":v1", "");
  const cases = [
    { store: wish({ name: "an/index:1" }), names: ["an/index:1"] },
    { store: wish({ extraReferences: [{ ...prefix, name }] }), names: [reference] },
    { store: wish({ extraReferences: [{ ...prefix, name: "else/where" }] }), names: [] },
    {
      store: wish({ extraReferences: [{ ...prefix, name, addDigest: true }] }),
      names: [`${name}@<index>`, reference, `${name}@${digest}`],
    },
    {
      store: wish({ extraReferences: [{ ...prefix, name: "new", addDigest: true, skipNamedDigest: true }] }),
      names: ["new@<index>", `new@${digest}`],
    },
  ];
  for (const { store, names } of cases) {
    const other = await transferRig(t);
    await importInto(other, archive, { ...store, unpacks: [{ platform: linux, snapshotter: "lazy" }] });
    t.same(
      saved(other).map((one) => (one.includes(digest) ? one : one.replace(/@sha256:.*/, "@<index>"))),
      names,
    );
    t.equal(other.snapshots.committed.size, 1, "it was unpacked");
  }
});

t.test("importImages() reads what docker save writes, and packs its layers on request", async (t) => {
  const rig = await transferRig(t);
  const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [sha256(tar)] } };
  const list = [{ Config: "c.json", RepoTags: ["one:v1", "lazuli.test/two"], Layers: ["one/layer.tar"] }];
  await command("mkdir", ["-p", join(rig.folder, "saved/one"), join(rig.folder, "saved/two")]);
  await writeFile(join(rig.folder, "saved/one/layer.tar"), tar);
  await command("ln", ["-s", "../one/layer.tar", join(rig.folder, "saved/two/layer.tar")]);
  await writeFile(join(rig.folder, "saved/c.json"), JSON.stringify(config));
  const archiveOf = async (images: unknown): Promise<Buffer> => {
    await writeFile(join(rig.folder, "saved/manifest.json"), JSON.stringify(images));
    await command("tar", ["-C", join(rig.folder, "saved"), "-cf", join(rig.folder, "saved.tar"), "."]);
    return await readFile(join(rig.folder, "saved.tar"));
  };
  const store = wish({ extraReferences: [{ ...prefix, name: "x", allowOverwrite: true }] });
  await importInto(rig, await archiveOf(list), store);
  t.same(saved(rig), ["docker.io/library/one:v1", "lazuli.test/two:latest"]);
  const { target } = rig.images.get({ namespace: "default", name: "docker.io/library/one:v1" });
  const manifest = async (digest: string) => {
    await using reader = await rig.content.open(digest as typeof target.digest);
    return JSON.parse(Buffer.from(await reader.read(0, reader.size)).toString());
  };
  t.match((await manifest(target.digest)).layers, [
    { mediaType: "application/vnd.docker.image.rootfs.diff.tar", digest: sha256(tar), size: tar.length },
  ]);
  const linked = [{ ...list[0], RepoTags: ["packed:v1"], Layers: ["two/layer.tar"] }];
  await importInto(rig, await archiveOf(linked), store, true);
  const packed = rig.images.get({ namespace: "default", name: "docker.io/library/packed:v1" });
  const [layer] = (await manifest(packed.target.digest)).layers;
  t.equal(layer.mediaType, "application/vnd.docker.image.rootfs.diff.tar.gzip");
  await using reader = await rig.content.open(layer.digest);
  t.ok(gunzipSync(await reader.read(0, reader.size)).equals(tar));
  t.same(await rig.ingests(), []);
  for (const [images, message] of [
    [[{ ...list[0], Config: "no.json" }], 'image config "no.json" not found'],
    [[{ ...list[0], Layers: ["no.tar"] }], 'layer "no.tar" not found'],
    [{ not: "a list" }, "manifest.json is no list"],
    [[{ Config: 5 }], "manifest.json has an image of another form"],
  ] as const) {
    await t.rejects(importInto(rig, await archiveOf(images), store), { code: "INVALID_ARGUMENT", message });
  }
});

t.test("importImages() refuses what is no archive of images and leaves nothing", async (t) => {
  const good = await transferRig(t);
  const { reference } = await publish(good, [{ tar, blob }]);
  await good.transferrer.pull(good.call, { access: accessTo(reference), store: wish({ name: reference }) });
  const archive = await exportOf(good, reference);
  const cases = [
    { bytes: archive.subarray(0, 60_000), reason: "tar-truncated" },
    { bytes: Buffer.from("hello"), reason: "tar-truncated" },
    { bytes: tarOf({ "some.txt": "text" }), reason: "archive-invalid" },
    { bytes: tarOf({ "oci-layout": '{"imageLayoutVersion":"9"}' }), reason: "archive-invalid" },
    { bytes: tarOf({ "oci-layout": '{"imageLayoutVersion":"1.0.0"}' }), reason: "archive-invalid" },
    { bytes: tarOf({ "manifest.json": "{" }), reason: "archive-invalid" },
    { bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), reason: "archive-zstd" },
  ];
  for (const { bytes, reason } of cases) {
    const rig = await transferRig(t);
    const failed = await importInto(rig, bytes, wish({ name: "x/y:z" })).catch((thrown: unknown) => thrown);
    t.match(failed, { reason });
    t.same(await rig.leftovers(), { leases: [], active: [], images: [] }, reason);
    t.same(await rig.ingests(), [], reason);
  }
});

t.test("exportImages() refuses unknown images and damaged blobs, and tag() gives names", async (t) => {
  const rig = await transferRig(t);
  const { reference, digest } = await publish(rig, [{ tar, blob }]);
  await rig.transferrer.pull(rig.call, { access: accessTo(reference), store: wish({ name: reference }) });
  await t.rejects(exportOf(rig, "none:1"), { code: "NOT_FOUND", message: 'image "none:1"' });
  await rig.transferrer.tag(rig.call, { from: wish({ name: reference }), to: wish({ name: "a/b:c" }) });
  t.equal(rig.images.get({ namespace: "default", name: "a/b:c" }).target.digest, digest);
  await rig.transferrer.tag(rig.call, {
    from: wish({ name: reference }),
    to: wish({
      name: "a/b:c",
      labels: { again: "yes" },
      extraReferences: [{ ...prefix, isPrefix: false, name: "d/e:f" }],
    }),
  });
  t.match(rig.images.get({ namespace: "default", name: "a/b:c" }).labels, { again: "yes" });
  t.match(rig.images.get({ namespace: "default", name: "d/e:f" }).labels, {
    again: "yes",
    "containerd.io/gc.bref.image": "a/b:c",
    "containerd.io/gc.expire": /^\d{4}-/,
  });
  const none = { from: wish({ name: "none:1" }), to: wish({ name: "x:1" }) };
  await t.rejects(rig.transferrer.tag(rig.call, none), { code: "NOT_FOUND" });
  await t.rejects(rig.transferrer.tag(rig.call, { from: wish({ name: reference }), to: wish() }), {
    message: "no image name found",
  });
  await rig.content.delete(sha256(blob));
  await t.rejects(exportOf(rig, reference), { code: "NOT_FOUND" });
  t.same((await rig.leftovers()).leases, []);
});

t.test("pull() and exportImages() take the platforms that are wanted", async (t) => {
  const rig = await transferRig(t);
  const arm = { os: "linux", architecture: "arm64" };
  const manifests: { readonly digest: string; readonly platform: object }[] = [];
  for (const platform of [arm, linux]) {
    const layer = gzipSync(tarOf({ "p.txt": platform.architecture }));
    const config = Buffer.from(JSON.stringify({ ...platform, rootfs: { type: "layers", diff_ids: [] } }));
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: {
          mediaType: "application/vnd.oci.image.config.v1+json",
          digest: rig.server.addBlob(config),
          size: config.length,
        },
        layers: [
          {
            mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
            digest: rig.server.addBlob(layer),
            size: layer.length,
          },
        ],
      }),
    );
    const digest = rig.server.addManifest({ repository: "multi", bytes, mediaType });
    const size = bytes.length;
    manifests.push(Object.assign({ mediaType, digest, size, platform }));
  }
  const indexType = "application/vnd.oci.image.index.v1+json";
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }));
  rig.server.addManifest({ repository: "multi", tag: "v1", bytes, mediaType: indexType });
  const name = `${rig.server.host}/multi:v1`;
  const pull = async (more: object) =>
    await rig.transferrer.pull(rig.call, { access: accessTo(name), store: wish({ name, ...more }) });
  const there = async (index: number): Promise<boolean> =>
    await rig.content.info(parseDigest(manifests[index]!.digest)).then(
      () => true,
      () => false,
    );
  await pull({ platforms: [linux] });
  t.same([await there(0), await there(1)], [false, true]);
  await t.rejects(pull({ platforms: [{ os: "plan9", architecture: "amd64" }], manifestLimit: 1 }), {
    message: "no match for platform in manifest",
  });
  const files = await filesOf(rig, await exportOf(rig, name));
  t.notMatch(files, manifests[0]!.digest.slice(7));
  await t.rejects(exportOf(rig, name, { allPlatforms: true }), { code: "NOT_FOUND" });
  await t.rejects(exportOf(rig, name, { platforms: [{ os: "plan9", architecture: "amd64" }] }), {
    message: "no manifest found for platform",
  });
  await pull({});
  t.same([await there(0), await there(1)], [true, true]);
  t.match(
    await filesOf(rig, await exportOf(rig, name, { allPlatforms: true })),
    manifests[0]!.digest.slice(7),
  );
});
