import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t, { type Test } from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { listTree } from "../../testing/estargz-decode.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd } from "../../testing/rig/containerd.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { type ConvertTarget, convertLayer } from "../../testing/zstdchunked-convert.js";
import { ingestLayer, listTar } from "../../testing/zstdchunked-decode.js";
import { readLayout, writeLayout } from "../../testing/zstdchunked-layout.js";
import { compileBlob, openBlob } from "../../testing/zstdchunked-read.js";
import { sampleEntries, tarOf } from "../../testing/zstdchunked-sample.js";

t.setTimeout(120_000);

const tar = tarOf(sampleEntries);
const name = "lazuli.test/sample:latest";
const newer = join(projectRoot, "build", "newer-skopeo");
const gzipLayer = "application/vnd.oci.image.layer.v1.tar+gzip";
const zstdLayer = "application/vnd.oci.image.layer.v1.tar+zstd";

async function newerSkopeo(): Promise<string> {
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-skopeo.sh"), newer]);
  return join(newer, "bin", "skopeo");
}

async function scratch(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-zstdchunked-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function sampleLayout(folder: string): Promise<string> {
  const layout = join(folder, "sample");
  await writeLayout({
    folder: layout,
    layer: gzipSync(tar),
    mediaType: gzipLayer,
    diffId: sha256(tar),
    name,
  });
  return layout;
}

async function ourLayout(folder: string, to: ConvertTarget): Promise<string> {
  const layout = join(folder, `ours-${to}`);
  const { blob, annotations, tar } = await convertLayer(sampleEntries, {
    to,
    chunkSize: 50_000,
    lengths: "late",
  });
  const mediaType = to === "estargz" ? gzipLayer : zstdLayer;
  await writeLayout({ folder: layout, layer: blob, mediaType, annotations, diffId: sha256(tar), name });
  return layout;
}

async function skopeoConverted(skopeo: string, folder: string): Promise<string> {
  const source = `oci:${await sampleLayout(folder)}:latest`;
  const layout = join(folder, "converted");
  const words = ["--insecure-policy", "copy", "-q", "--dest-compress-format", "zstd:chunked"];
  await command(skopeo, [...words, source, `oci:${layout}:latest`]);
  return layout;
}

async function importLayout(containerd: Containerd, layout: string): Promise<void> {
  await command("tar", ["-C", layout, "-cf", `${layout}.tar`, "."]);
  await containerd.ctr(["images", "import", "--no-unpack", `${layout}.tar`]);
}

async function checkLayout(t: Test, layout: string): Promise<void> {
  const { blob, annotations } = await readLayout(layout);
  const compiled = compileBlob(blob, await openBlob(blob, annotations));
  t.same(listTree(compiled, await ingestLayer(blob, compiled)), await listTar(tar));
}

t.test(
  "layers that the installed skopeo and a newer one convert give the contents of their tar",
  async (t) => {
    for (const skopeo of ["skopeo", await newerSkopeo()]) {
      await using cleanup = new Cleanup();
      await checkLayout(t, await skopeoConverted(skopeo, await scratch(cleanup)));
    }
  },
);

t.test("ctr-remote and we read each other's layers", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await scratch(cleanup);
  const containerd = await startContainerd({ folder: join(folder, "containerd") });
  cleanup.add(() => containerd.stop());
  await importLayout(containerd, await sampleLayout(folder));
  await containerd.ctrRemote(["images", "convert", "--zstdchunked", "--oci", name, `${name}-z`]);
  const archive = join(folder, "converted.tar");
  await containerd.ctr(["images", "export", archive, `${name}-z`]);
  const layout = join(folder, "converted");
  await mkdir(layout);
  await command("tar", ["-C", layout, "-xf", archive]);
  await checkLayout(t, layout);
  for (const to of ["stargz", "estargz"] as const) {
    const ours = await ourLayout(folder, to);
    await importLayout(containerd, ours);
    const { descriptor, annotations } = await readLayout(ours);
    const words = to === "stargz" ? ["--zstdchunked"] : [];
    const { stdout } = await containerd.ctrRemote(["images", "get-toc-digest", ...words, descriptor.digest]);
    t.equal(stdout.trim(), annotations["containerd.io/snapshot/stargz/toc.digest"], to);
  }
});

/** A listing's line without a time that unpacking has from the clock: that of folders which only names imply. */
function withoutClock(line: string, startedSeconds: number): string {
  const fields = line.split("|");
  return Number(fields[6]) >= startedSeconds ? fields.with(6, "clock").join("|") : line;
}

t.test(
  "containers/storage pulls our layer in parts, and makes the tree that it makes of its own",
  async (t) => {
    await using cleanup = new Cleanup();
    const startedSeconds = Math.floor(Date.now() / 1000);
    const folder = await scratch(cleanup);
    const skopeo = await newerSkopeo();
    const registry = await startDockerRegistry({ folder: join(folder, "registry") });
    cleanup.add(() => registry.stop());
    const layouts = {
      theirs: await skopeoConverted(skopeo, folder),
      ours: await ourLayout(folder, "containers"),
    };
    const listings: string[][] = [];
    for (const [tag, layout] of Object.entries(layouts)) {
      const image = `docker://${registry.host}/sample:${tag}`;
      const words = ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"];
      await command(skopeo, [...words, `oci:${layout}:latest`, image]);
      const root = join(folder, tag);
      cleanup.add(() => command("umount", [join(root, "overlay")], { allow: [32] }).then(() => {}));
      const config = join(folder, `${tag}.conf`);
      await writeFile(
        config,
        `[storage]\ndriver = "overlay"\ngraphroot = "${root}"\nrunroot = "${root}.run"\n` +
          `[storage.options]\npull_options = { enable_partial_images = "true" }\n`,
      );
      const { stderr } = await command(
        skopeo,
        [
          "--debug",
          "--insecure-policy",
          "copy",
          "--src-tls-verify=false",
          image,
          "containers-storage:sample:latest",
        ],
        { env: { CONTAINERS_STORAGE_CONF: config } },
      );
      t.match(stderr, "Retrieved partial blob", tag);
      const layers = (await readdir(join(root, "overlay"))).filter((entry) => /^[0-9a-f]{64}$/.test(entry));
      const listing = await treeListing(join(root, "overlay", layers[0]!, "diff"));
      listings.push(listing.map((line) => withoutClock(line, startedSeconds)));
    }
    t.ok(listings[0]!.length > sampleEntries.length);
    t.same(listingDifference(listings[0]!, listings[1]!), []);
  },
);
