import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { mediaTypes } from "../../src/oci/index.js";
import { layoutSource, layoutTarget, parseImageLocation } from "../../src/transfer/index.js";
import { command } from "../../testing/rig/command.js";

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-layout-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function blob(bytes: Buffer, digest = sha256(bytes)) {
  const open = async function* () {
    yield bytes;
  };
  return { digest, size: bytes.length, open };
}

t.test("parseImageLocation() reads places as skopeo writes them", async (t) => {
  t.same(parseImageLocation("python:3.12"), {
    kind: "registry",
    reference: "docker.io/library/python:3.12",
  });
  t.match(parseImageLocation("docker://localhost:5000/a:1"), { reference: "localhost:5000/a:1" });
  t.same(parseImageLocation("oci:/a/b:c/d"), { kind: "layout", path: "/a/b:c/d", name: undefined });
  t.same(parseImageLocation("oci:/a/b:v1"), { kind: "layout", path: "/a/b", name: "v1" });
  t.match(parseImageLocation("oci-archive:/a.tar"), { kind: "archive", path: "/a.tar" });
  for (const wrong of ["oci:", "oci-archive::x", "docker://", "a//b"]) {
    t.throws(() => parseImageLocation(wrong), { code: "INVALID_ARGUMENT" }, wrong);
  }
});

t.test("layoutTarget() writes what skopeo and layoutSource() read", async (t) => {
  const folder = await folderFor(t);
  await t.rejects(layoutSource(folder, undefined), { code: "NOT_FOUND", reason: "layout-missing" });
  const target = await layoutTarget(folder, "v1");
  const layer = Buffer.alloc(70_000, "layer");
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: [sha256(layer)] },
    }),
  );
  t.equal(await target.pushBlob(blob(layer)), "pushed");
  t.equal(await target.pushBlob(blob(layer)), "present");
  await target.pushBlob(blob(config));
  await t.rejects(target.pushBlob(blob(layer, sha256(config.subarray(1)))), {
    code: "DATA_LOSS",
    reason: "digest-mismatch",
  });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: sha256(config), size: config.length },
      layers: [{ mediaType: mediaTypes.ociLayer, digest: sha256(layer), size: layer.length }],
    }),
  );
  const root = {
    mediaType: mediaTypes.ociManifest,
    digest: sha256(bytes),
    size: bytes.length,
    annotations: {},
    platform: undefined,
  };
  await target.pushManifest({ bytes, digest: root.digest, mediaType: root.mediaType });
  await target.name(root);
  const told = await command("skopeo", ["inspect", "--raw", `oci:${folder}:v1`]);
  t.equal(told.stdout.trim(), bytes.toString(), "skopeo finds it");

  const source = await layoutSource(folder, undefined);
  t.same((await source.root()).bytes, bytes);
  const opened = await source.openBlob({ digest: sha256(layer), size: layer.length });
  const pieces: Buffer[] = [];
  for await (const piece of opened.readRange({ offset: 10, length: 60_000 })) pieces.push(piece);
  t.ok(Buffer.concat(pieces).equals(layer.subarray(10, 60_010)));
  await t.rejects(source.document({ digest: sha256(Buffer.from("none")) }), { code: "NOT_FOUND" });
  await (await layoutTarget(folder, "v2")).name(root);
  await t.rejects(layoutSource(folder, undefined), { code: "INVALID_ARGUMENT", reason: "image-ambiguous" });
  await t.rejects(layoutSource(folder, "v3"), { code: "NOT_FOUND", reason: "image-missing" });
  t.ok(await layoutSource(folder, "v2"), "a second name is added");
  await writeFile(join(folder, "blobs", "sha256", root.digest.slice(7)), "{}");
  await t.rejects(source.root(), { code: "DATA_LOSS" }, "damaged on disk");
});
