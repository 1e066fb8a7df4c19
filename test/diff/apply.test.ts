import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { MemoryStore } from "../../testing/content-suite/memory-store.js";
import { rawTar } from "../../testing/tar/index.js";
import { bindOf, blobOf, openDiffRig, overlayOf, signal } from "./rig.js";

const gzipLayer = "application/vnd.oci.image.layer.v1.tar+gzip";

t.test("apply() deletes what markers hide, on mounts that are no overlay", async (t) => {
  await using rig = await openDiffRig();
  const root = await rig.folder("root");
  await writeFile(join(root, "gone"), "gone");
  await writeFile(join(root, "kept"), "kept");
  const tar = rawTar({ name: ".wh.gone" }, { name: "new", content: "new" });
  const { digest } = await rig.differ.apply({ ...blobOf(tar), mounts: [bindOf(root)], syncFs: true, signal });
  t.equal(digest, blobOf(tar).layer.digest);
  t.same((await readdir(root)).sort(), ["kept", "new"]);
});

t.test("apply() reads several members of gzip, and names the archive's digest", async (t) => {
  await using rig = await openDiffRig();
  const upper = await rig.folder("upper");
  const tar = rawTar({ name: "file", content: "of two members" });
  const bytes = Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]);
  const mounts = [overlayOf({ upper, lowers: [] })];
  const applied = await rig.differ.apply({ ...blobOf(bytes, gzipLayer), mounts, syncFs: false, signal });
  t.equal(applied.digest, blobOf(tar).layer.digest);
  t.equal(applied.size, tar.length);
  t.equal(await readFile(join(upper, "file"), "utf8"), "of two members");
});

t.test("apply() makes nothing when the blob's bytes have another digest", async (t) => {
  await using rig = await openDiffRig();
  const upper = await rig.folder("upper");
  const { layer } = blobOf(rawTar({ name: "right!" }));
  const { blob } = blobOf(rawTar({ name: "wrong!" }));
  const mounts = [overlayOf({ upper, lowers: [] })];
  await t.rejects(rig.differ.apply({ layer, blob, mounts, syncFs: false, signal }), {
    code: "DATA_LOSS",
    reason: "blob-digest-mismatch",
  });
  t.same(await readdir(upper), []);
});

const hostile = {
  "a whiteout of nothing": { tar: rawTar({ name: ".wh." }), reason: "tar-whiteout" },
  "a whiteout of the folder above": { tar: rawTar({ name: "a/.wh..." }), reason: "tar-whiteout" },
  "a type that nobody knows": { tar: rawTar({ name: "odd", type: "Z" }), reason: "tar-entry-type" },
  "a link to a folder above the root": {
    tar: rawTar({ name: "out", type: "1", link: "../../etc/passwd" }),
    reason: "layer-unappliable",
  },
  "a folder below a file": {
    tar: rawTar({ name: "file" }, { name: "file/inner" }),
    reason: "layer-unappliable",
  },
};

for (const [name, { tar, reason }] of Object.entries(hostile)) {
  t.test(`apply() refuses ${name}`, async (t) => {
    await using rig = await openDiffRig();
    const mounts = [overlayOf({ upper: await rig.folder("upper"), lowers: [] })];
    const applied = rig.differ.apply({ ...blobOf(tar), mounts, syncFs: false, signal });
    await t.rejects(applied, { code: "INVALID_ARGUMENT", reason });
  });
}

t.test("compare() refuses media types that it can't write", async (t) => {
  await using rig = await openDiffRig();
  const comparing = rig.differ.compare({
    lower: [],
    upper: [],
    mediaType: "text/plain",
    ref: "",
    labels: {},
    content: new MemoryStore({ now: () => 0n }),
    signal,
  });
  await t.rejects(comparing, { code: "UNIMPLEMENTED", reason: "media-type-unsupported" });
});

t.test("compare() writes layers in each form that apply() reads, with their label", async (t) => {
  await using rig = await openDiffRig();
  const upper = await rig.folder("upper");
  await writeFile(join(upper, "file"), Buffer.alloc(100_000, "text"));
  const content = new MemoryStore({ now: () => 0n });
  for (const form of ["tar", "tar+gzip", "tar+zstd"]) {
    const mediaType = `application/vnd.oci.image.layer.v1.${form}`;
    const request = { lower: [], upper: [bindOf(upper)], mediaType, ref: "", labels: {}, content, signal };
    const layer = await rig.differ.compare({ ...request, sourceDateEpoch: 5_000_000_000n });
    const blob = await content.open(layer.digest);
    const root = await rig.folder(`root-${form}`);
    const applied = await rig.differ.apply({ layer, blob, mounts: [bindOf(root)], syncFs: false, signal });
    t.same(await readFile(join(root, "file")), await readFile(join(upper, "file")), form);
    const label = (await content.info(layer.digest)).labels["containerd.io/uncompressed"];
    t.equal(label, form === "tar" ? undefined : applied.digest);
  }
});
