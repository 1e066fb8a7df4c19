import { join } from "node:path";
import t, { type Test } from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import type { DockerRegistry } from "../../testing/rig/docker-registry.js";
import { type Lab, projectRoot, startLab } from "../../testing/rig/lab.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";
import { fetchSoci } from "../soci/soci-tool.js";
import {
  digestOfTag,
  type FormatTag,
  formatRegistry,
  formatTags,
  imageOf,
  LABELLED_INDEX,
  WHOLE_BYTES_MIN,
} from "./formats-rig.js";

const isFull = process.env.LAZULI_MATRIX === "full";
const tags = Object.keys(formatTags) as readonly FormatTag[];
const { large } = oddImageDigests();

interface Place {
  readonly release: "1.6" | "2.1";
  readonly rung: "erofs" | "fuse-tree";
}

/** The rung is nothing that the release of the client could change. */
const places: readonly Place[] = [
  { release: "1.6", rung: "erofs" },
  { release: "1.6", rung: "fuse-tree" },
  { release: "2.1", rung: "erofs" },
  ...(isFull ? [{ release: "2.1", rung: "fuse-tree" } as const] : []),
];

/** What the installed containerd unpacks of each image, listed once. */
const unpacked = new Map<FormatTag, string[]>();

t.setTimeout(isFull ? 3_600_000 : 900_000);

async function newerContainerd(): Promise<string> {
  const folder = join(projectRoot, "build", "newer");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), folder]);
  return join(folder, "bin");
}

/** Pulls as a client does that does not download what it need not. */
async function pull(options: {
  readonly lab: Lab;
  readonly registry: DockerRegistry;
  readonly place: Place;
  readonly tag: FormatTag;
}): Promise<void> {
  const { lab, registry, place, tag } = options;
  const { containerd } = lab;
  const words = ["--plain-http", "--snapshotter", "lazuli"];
  const image = imageOf(registry, tag);
  if (tag === "soci-label") {
    const soci = join(await fetchSoci(), "soci");
    const digest = await digestOfTag(registry, LABELLED_INDEX);
    const own = ["--address", containerd.address, "image", "rpull", "--soci-index-digest", digest!];
    await command(soci, [...own, ...words, image]);
  } else if (place.release === "1.6") await containerd.ctrRemote(["images", "rpull", ...words, image]);
  else await containerd.ctr(["images", "pull", ...words, image]);
}

interface Explained {
  readonly layerDigest: string;
  readonly lazy: boolean;
  readonly format: string;
  readonly reason: string;
  readonly mountKind: string;
  readonly blobBytes: number;
}

async function explain(lab: Lab, image: string): Promise<readonly Explained[]> {
  return JSON.parse((await lab.snapshotter.lazuli(["explain", image, "--json"])).stdout).layers;
}

async function checkExplained(t: Test, options: { lab: Lab; image: string; tag: FormatTag; rung: string }) {
  const { lab, image, tag, rung } = options;
  const layers = await explain(lab, image);
  const left = layers.filter(({ lazy }) => !lazy);
  t.equal(layers.length, 3);
  for (const layer of layers.filter(({ lazy }) => lazy)) {
    t.equal(layer.format, formatTags[tag]);
    t.ok(layer.mountKind === rung || layer.mountKind === "none", `mounted by ${rung}`);
  }
  // Without an index only large ones are worth it.
  const mayBeSmall = ["gzip", "members", "zstd"].includes(tag);
  t.equal(left.length, mayBeSmall ? 2 : 0, "small layers without an index are the client's");
  t.same(new Set(left.map(({ reason }) => reason)), new Set(mayBeSmall ? ["layer-small"] : []));
}

async function eagerListing(lab: Lab, image: string, tag: FormatTag): Promise<string[]> {
  const known = unpacked.get(tag);
  if (known !== undefined) return known;
  await lab.containerd.ctr(["images", "pull", "--plain-http", image]);
  const listing = await lab.listImage(image, "overlayfs");
  unpacked.set(tag, listing);
  return listing;
}

async function runs(lab: Lab, image: string): Promise<string> {
  return (await runInContainer(lab, image, "cat /data/keep /data/gone-dir/back && sha256sum /data/large"))
    .stdout;
}

/** What the program that wrote the image has left out of its index: skopeo of bookworm, attributes without a value. */
const leftOut: Readonly<Partial<Record<FormatTag, readonly string[]>>> = {
  "skopeo-old": ["< data/keep|user.empty=0x"],
};

const said = `keep\nback\n${large}  /data/large\n`;

for (const place of places) {
  const { release, rung } = place;
  t.test(`containerd ${release} with lazuli on the rung ${rung} shows each format as unpacked`, async (t) => {
    await using cleanup = new Cleanup();
    const registry = await formatRegistry(cleanup);
    await using lab = await startLab({
      ...(release === "1.6" ? {} : { binFolder: await newerContainerd() }),
      config: [
        `[layer]\nmount = "${rung}"\nbackground_fill = false`,
        `pull_whole_min = "${WHOLE_BYTES_MIN / 1024}KiB"\nsoci_referrers = true`,
      ].join("\n"),
    });
    for (const tag of tags) {
      await t.test(tag, async (t) => {
        const image = imageOf(registry, tag);
        await pull({ lab, registry, place, tag });
        t.equal(await runs(lab, image), said, "a container reads its files");
        await checkExplained(t, { lab, image, tag, rung });
        const lazy = await lab.listImage(image, "lazuli");
        const eager = await eagerListing(lab, image, tag);
        t.ok(eager.length > 600, "the listing is whole");
        t.same(listingDifference(eager, lazy), leftOut[tag] ?? [], "no difference to the full pull");
      });
    }
    await registry.stop();
    await lab.restart();
    for (const tag of tags) {
      await t.test(`${tag}, lazuli started again without the registry`, async (t) => {
        const image = imageOf(registry, tag);
        t.equal(await runs(lab, image), said, "a container reads its files");
        const lazy = await lab.listImage(image, "lazuli");
        t.same(listingDifference(unpacked.get(tag)!, lazy), leftOut[tag] ?? [], "and all others are there");
        await checkExplained(t, { lab, image, tag, rung });
      });
    }
  });
}
