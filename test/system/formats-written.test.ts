import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { parseImageConfig, parseManifest } from "../../src/oci/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { oddImageArchive, oddImageName } from "../../testing/rig/odd-image.js";
import {
  listingDifference,
  listingOf,
  treeListing,
  treeListingScript,
} from "../../testing/rig/tree-listing.js";
import { SmallImages, tarOf } from "../../testing/transfer/small-image.js";
import { startSociSnapshotter } from "../soci/soci-snapshotter.js";

t.setTimeout(300_000);

const program = join(projectRoot, "bin/lazuli");
const smallSpans = ["--span-size", "65536", "--min-layer-size", "0"];

const folder = await mkdtemp(join(tmpdir(), "lazuli-written-"));
t.teardown(() => rm(folder, { recursive: true, force: true }));
const archive = await oddImageArchive({ folder });
const record = ["--record", join(folder, "record")];

t.test("skopeo unpacks of each format that we write the archives that the config names", async (t) => {
  const formats = [
    ["estargz"],
    ["zstdchunked"],
    ["zstdchunked", "--dialect", "containers"],
    ["uncompressed"],
  ];
  for (const [index, words] of formats.entries()) {
    const layout = `oci:${join(folder, "out")}:v${index}`;
    await command(program, ["convert", `oci-archive:${archive}`, layout, "--to", ...words, ...record]);
    const saved = join(folder, `saved-${index}`);
    const copy = ["--insecure-policy", "copy", "-q", "--dest-decompress"];
    await command("skopeo", [...copy, layout, `dir:${saved}`]);
    const blob = async (digest: string) => await readFile(join(saved, digest.slice(7)));
    const manifest = parseManifest(await readFile(join(saved, "manifest.json")));
    const { diffIds } = parseImageConfig(await blob(manifest.config.digest));
    const unpacked: string[] = [];
    for (const { digest } of manifest.layers) unpacked.push(sha256(await blob(digest)));
    t.same(unpacked, diffIds, words.join(" "));
    await rm(saved, { recursive: true });
  }
});

t.test(
  "containers/storage pulls in parts what we have written for it, and makes holes of zeros",
  async (t) => {
    await using cleanup = new Cleanup();
    const newer = join(projectRoot, "build", "newer-skopeo");
    await command("bash", [join(projectRoot, "scripts", "fetch-newer-skopeo.sh"), newer]);
    const skopeo = join(newer, "bin/skopeo");
    const registry = await startDockerRegistry({ folder: join(folder, "storage-registry") });
    cleanup.add(() => registry.stop());
    const images = new SmallImages(join(folder, "small"));
    const holes = Buffer.concat([Buffer.from("before"), Buffer.alloc(9_000_000), Buffer.from("behind")]);
    const files = {
      holes,
      zeros: Buffer.alloc(300_000),
      text: "no zeros",
      large: Buffer.alloc(5_000_000, "data"),
    };
    const from = await images.name("v1", await images.image([{ tar: tarOf(files) }]));
    const image = `${registry.host}/small:v1`;
    const words = ["--to", "zstdchunked", "--dialect", "containers"];
    await command(program, ["convert", from, image, ...words, ...record]);
    const root = join(folder, "storage");
    cleanup.add(() => command("umount", [join(root, "overlay")], { allow: [32] }).then(() => {}));
    const config = join(folder, "storage.conf");
    await writeFile(
      config,
      `[storage]\ndriver = "overlay"\ngraphroot = "${root}"\nrunroot = "${root}.run"\n` +
        `[storage.options]\npull_options = { enable_partial_images = "true" }\n`,
    );
    const copy = ["--debug", "--insecure-policy", "copy", "--src-tls-verify=false"];
    const places = [`docker://${image}`, "containers-storage:small:latest"];
    const { stderr } = await command(skopeo, [...copy, ...places], {
      env: { CONTAINERS_STORAGE_CONF: config },
    });
    t.match(stderr, "Retrieved partial blob");
    const [layer] = (await readdir(join(root, "overlay"))).filter((name) => /^[0-9a-f]{64}$/.test(name));
    const tree = join(root, "overlay", layer!, "diff");
    for (const [name, content] of Object.entries(files)) {
      t.ok((await readFile(join(tree, name))).equals(Buffer.from(content)), name);
    }
    const { stdout } = await command("stat", ["-c", "%b", join(tree, "holes")]);
    t.ok(Number(stdout) * 512 < 1_000_000, "the zeros take no place");
  },
);

/**
 * soci-snapshotter 0.4 gives attributes the names that their PAX records have, and does not bound times as containerd does,
 * with an index of its own as well.
 */
function isShownBySoci(line: string): boolean {
  return !/\|(user|security)\./.test(line) && !line.startsWith("data/before-1970|");
}

t.test("soci-snapshotter mounts an image by the index that we made and pushed", async (t) => {
  await using soci = await startSociSnapshotter();
  await using cleanup = new Cleanup();
  const image = `${soci.host}/sample:latest`;
  const index = `oci:${join(folder, "index")}:v1`;
  await soci.run(`
    export NODE_EXTRA_CA_CERTS=$SSL_CERT_FILE
    skopeo --insecure-policy copy -q oci-archive:${archive} docker://${image}
    ${program} index create ${image} ${index} ${smallSpans.join(" ")} ${record.join(" ")}
    ${program} index push ${index} ${image}
    $SOCI image rpull ${image}
  `);
  const mounted = join(folder, "soci-mounted");
  await mkdir(mounted);
  const layers = [3, 2, 1].map((number) => `$ROOT/snapshotter/snapshots/${number}/fs`);
  await writeFile(join(folder, "listing.sh"), treeListingScript);
  const { stdout } = await soci.run(`
    for layer in ${layers.join(" ")}; do stat -f -c %T $layer; done >&2
    mount -t overlay overlay -o ro,lowerdir=${layers.join(":")} ${mounted}
    bash ${join(folder, "listing.sh")} ${mounted}
    umount ${mounted}
  `);
  const containerd = await startContainerd({ folder: join(folder, "containerd") });
  cleanup.add(() => containerd.stop());
  await containerd.ctr(["images", "import", "--snapshotter", "overlayfs", archive]);
  const name = { containerd, image: oddImageName, snapshotter: "overlayfs", below: folder };
  await using unpacked = await mountImage(name);
  const wanted = await treeListing(unpacked.folder);
  t.ok(wanted.length > 600, "the listing is whole");
  t.same(listingDifference(wanted.filter(isShownBySoci), listingOf(stdout).filter(isShownBySoci)), []);
});
