import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { mediaTypes, parseManifest } from "../../src/oci/index.js";
import {
  buildSociIndex,
  compileZtoc,
  encodeZtoc,
  parseSociIndex,
  readZtoc,
  type SociIndex,
  sociConfigBytes,
} from "../../src/soci/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { mountImage as mountSnapshot } from "../../testing/rig/mounted-image.js";
import { oddImageArchive, oddImageName } from "../../testing/rig/odd-image.js";
import { listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { mountImage } from "../erofs/mounted-image.js";
import { buildSoci } from "./builder.js";
import { sampleLayer } from "./sample-layer.js";
import { startSociSnapshotter } from "./soci-snapshotter.js";
import { importLayers, type SociTool, startSociTool } from "./soci-tool.js";

const sample = buildSoci(sampleLayer);
const sampleTar = buildSoci(sampleLayer, { algorithm: "uncompressed" });

/** Makes an index with soci, as small as its spans can be, and reads it. */
async function createIndex(
  tool: SociTool,
  image: string,
): Promise<{ index: SociIndex; ztocs: Map<string, Buffer> }> {
  await tool.run("create", "--span-size", "65536", "--min-layer-size", "0", image);
  const ztocs = new Map<string, Buffer>();
  let index: SociIndex | undefined;
  for (const name of await readdir(tool.blobs)) {
    const bytes = await readFile(join(tool.blobs, name));
    if (bytes[0] !== 0x7b) ztocs.set(`sha256:${name}`, bytes);
    else if (bytes.length > sociConfigBytes.length) index = parseSociIndex(bytes);
  }
  return { index: index!, ztocs };
}

t.test("encodeZtoc() writes from our own look at a layer what soci writes of it", async (t) => {
  await using tool = await startSociTool();
  await importLayers(tool, "lazuli.test/sample:latest", [sample.blob, sampleTar.blob]);
  const { index, ztocs } = await createIndex(tool, "lazuli.test/sample:latest");
  for (const built of [sample, sampleTar]) {
    const theirs = ztocs.get(index.ztocs.get(sha256(built.blob))!.digest)!;
    const { buildTool } = readZtoc(theirs);
    const facts = { compressedSize: built.blob.length, uncompressedSize: built.tar.length, buildTool };
    t.ok(encodeZtoc({ ...built, ...facts }).equals(theirs), built.algorithm);
  }
});

t.test("encodeZtoc() and buildSociIndex() write what soci reads", async (t) => {
  await using tool = await startSociTool();
  await importLayers(tool, "lazuli.test/sample:latest", [sample.blob]);
  const { stdout } = await tool.containerd.ctr(["images", "ls", "name==lazuli.test/sample:latest"]);
  const digest = /sha256:[0-9a-f]{64}/.exec(stdout)![0];
  const manifest = Buffer.from((await tool.containerd.ctr(["content", "get", digest])).stdout);
  const { bytes } = sampleIndex({
    mediaType: mediaTypes.ociManifest,
    digest: sha256(manifest),
    size: manifest.length,
  });
  await tool.put(sociConfigBytes);
  await tool.put(bytes);
  const ztoc = await tool.put(sample.ztoc);
  await writeFile(join(tool.blobs, "..", "..", "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await tool.run("rebuild-db");
  const info = JSON.parse((await tool.run("ztoc", "info", ztoc)).stdout);
  t.match(info, {
    version: "0.9",
    build_tool: "lazuli test",
    num_spans: sample.checkpoints.length,
    num_files: sampleLayer.length,
    span_size: 65_536,
  });
  t.match(info.files[3], { filename: "usr/bin/tool", offset: sample.entries[3]!.dataOffset, size: 150_001 });
  const out = join(tool.folder, "tool");
  await tool.run("ztoc", "get-file", "-o", out, ztoc, "usr/bin/tool");
  const { dataOffset, size } = sample.entries[3]!;
  t.ok((await readFile(out)).equals(sample.tar.subarray(dataOffset, dataOffset + size)), "and its bytes");
});

function sampleIndex(subject: Parameters<typeof buildSociIndex>[0]["subject"]) {
  const ztoc = {
    digest: sha256(sample.ztoc),
    size: sample.ztoc.length,
    layerDigest: sha256(sample.blob),
    layerMediaType: mediaTypes.ociLayerGzip,
    spanSize: 65_536,
    disablesXattrs: false,
  };
  return buildSociIndex({ version: 1, ztocs: [ztoc], buildTool: "lazuli test", subject });
}

t.test("compileZtoc() of soci's index gives the tree that containerd unpacks", async (t) => {
  await using tool = await startSociTool();
  const { containerd, folder } = tool;
  const archive = await oddImageArchive({ folder });
  await containerd.ctr(["images", "import", "--snapshotter", "overlayfs", archive]);
  const { index, ztocs } = await createIndex(tool, oddImageName);
  await using unpacked = await mountSnapshot({
    containerd,
    image: oddImageName,
    snapshotter: "overlayfs",
    below: folder,
  });
  const manifest = parseManifest(
    Buffer.from((await containerd.ctr(["content", "get", index.subject!])).stdout),
  );
  await using mounts = new Cleanup();
  const lowers: string[] = [];
  for (const { digest, size } of manifest.layers) {
    const blob = await readFile(
      join(folder, "containerd/root/io.containerd.content.v1.content/blobs/sha256", digest.slice(7)),
    );
    const reference = index.ztocs.get(digest)!;
    const { root, dataSize } = compileZtoc({
      ztoc: ztocs.get(reference.digest)!,
      digest: reference.digest,
      blobSize: size,
    });
    const data = gunzipSync(blob).subarray(0, dataSize);
    const mounted = await mountImage({ root, blockSize: 512, data });
    mounts.add(async () => await mounted[Symbol.asyncDispose]());
    lowers.unshift(mounted.path);
  }
  const merged = join(folder, "merged");
  await command("mkdir", [merged]);
  await command("mount", ["-t", "overlay", "overlay", "-o", `ro,lowerdir=${lowers.join(":")}`, merged]);
  mounts.add(async () => void (await command("umount", [merged])));
  t.same(listingDifference(await treeListing(unpacked.folder), await treeListing(merged)), []);
});

t.test("soci-snapshotter mounts a layer by our index and reads its files", async (t) => {
  await using soci = await startSociSnapshotter();
  const layer = { mediaType: mediaTypes.ociLayerGzip, ...(await soci.pushBlob(sample.blob)) };
  const rootfs = { type: "layers", diff_ids: [sha256(sample.tar)] };
  const imageConfig = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs }));
  const config = { mediaType: mediaTypes.ociConfig, ...(await soci.pushBlob(imageConfig)) };
  const mediaType = mediaTypes.ociManifest;
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] }));
  await soci.pushManifest("latest", manifest);
  await soci.pushBlob(sample.ztoc);
  await soci.pushBlob(sociConfigBytes);
  const index = sampleIndex({ mediaType, digest: sha256(manifest), size: manifest.length });
  await soci.pushManifest(index.digest, index.bytes);
  await soci.run(`$SOCI image rpull --soci-index-digest ${index.digest} ${soci.host}/sample:latest`);
  const place = "cd $ROOT/snapshotter/snapshots/1/fs";
  const { stdout } = await soci.run(
    `${place}; stat -f -c %T .; sha256sum usr/bin/tool last 'name with spaces'/*`,
  );
  const sums = ["usr/bin/tool", "last", "name with spaces/größe 名"].map((name) => {
    const content = sampleLayer.find((entry) => entry.name === name)!.content!;
    return `${sha256(Buffer.from(content)).slice(7)}  ${name}`;
  });
  t.equal(stdout, `${["fuseblk", ...sums].join("\n")}\n`);
});
