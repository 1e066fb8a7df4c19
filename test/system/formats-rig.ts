import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type DockerRegistry, startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { imageCache } from "../../testing/rig/estargz-image.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { oddImageArchive } from "../../testing/rig/odd-image.js";
import { type SociTool, startSociTool } from "../soci/soci-tool.js";

/** Each tag of the odd image at the registry, with what `explain` has to call its layers. */
export const formatTags = {
  gzip: "gzip",
  members: "gzip",
  zstd: "zstd",
  tar: "tar",
  esgz: "estargz",
  zstdchunked: "zstdchunked",
  "skopeo-old": "zstdchunked",
  "skopeo-new": "zstdchunked",
  "soci-v1": "soci",
  "soci-v2": "soci",
  "soci-label": "soci",
} as const;
export type FormatTag = keyof typeof formatTags;

/** The tag of the index that nothing but its digest leads to. */
export const LABELLED_INDEX = "index-of-soci-label";

/** Layers of fewer bytes in the blob that have no index are left to containerd. */
export const WHOLE_BYTES_MIN = 4096;

const REPOSITORY = "odd";
const SPAN_WORDS = ["--span-size", "65536", "--min-layer-size", "0"];
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const TAR_BLOCK = 512;
const MEMBER_BYTES = 1_000_003;

/**
 * Debian's registry with the odd image in every layer format, each written by the program whose format it is: ctr-remote,
 * skopeo of two suites, soci. Its index inside an image (SOCI v2) is ours: no suite of Debian has a soci that writes one.
 * The images have the same tree and no layer in common, since the zeros behind each archive are not as many. Made once and
 * kept.
 */
export async function formatRegistry(cleanup: Cleanup): Promise<DockerRegistry> {
  const folder = join(imageCache(projectRoot), "formats-registry");
  const registry = await startDockerRegistry({ folder });
  cleanup.add(() => registry.stop());
  const wanted = [...Object.keys(formatTags), LABELLED_INDEX];
  const there = await Promise.all(
    wanted.map(async (tag) => (await digestOfTag(registry, tag)) !== undefined),
  );
  if (there.every(Boolean)) return registry;
  const scratch = await mkdtemp(join(tmpdir(), "lazuli-formats-"));
  try {
    await publish(registry, scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return registry;
}

export function imageOf(registry: Pick<DockerRegistry, "host">, tag: string): string {
  return `${registry.host}/${REPOSITORY}:${tag}`;
}

/** undefined: the registry has no such tag. */
export async function digestOfTag(registry: DockerRegistry, tag: string): Promise<string | undefined> {
  const url = `http://${registry.host}/v2/${REPOSITORY}/manifests/${tag}`;
  const accept = `${MANIFEST_TYPE}, ${INDEX_TYPE}, application/vnd.docker.distribution.manifest.v2+json`;
  const answer = await fetch(url, { method: "HEAD", headers: { accept } });
  return answer.ok ? (answer.headers.get("docker-content-digest") ?? undefined) : undefined;
}

async function publish(registry: DockerRegistry, scratch: string): Promise<void> {
  const tars = await readTars(scratch);
  const layouts = new Map<string, string>();
  const layoutOf = async (name: string, packing: Packing): Promise<string> => {
    const layout = join(scratch, name);
    // skopeo of bookworm leaves out of its blob, but not of the diffID, what follows the end of the archive.
    const padding = name === "skopeo-old" ? undefined : (layouts.size + 1) * TAR_BLOCK;
    await writeLayout(layout, { tars, padding, packing });
    layouts.set(name, layout);
    return layout;
  };
  const copy = async (program: string, layout: string, tag: string, ...words: string[]): Promise<void> => {
    const flags = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", ...words];
    await command(program, [...flags, `oci:${layout}:latest`, `docker://${imageOf(registry, tag)}`]);
  };
  const asItIs = "--preserve-digests";
  await copy("skopeo", await layoutOf("gzip", "gzip"), "gzip", "--format", "v2s2");
  for (const packing of ["members", "tar"] as const) {
    await copy("skopeo", await layoutOf(packing, packing), packing, asItIs);
  }
  await copy("skopeo", await layoutOf("zstd", "gzip"), "zstd", "--dest-compress-format", "zstd");
  const newer = join(projectRoot, "build", "newer-skopeo");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-skopeo.sh"), newer]);
  const chunked = ["--dest-compress-format", "zstd:chunked"];
  await copy("skopeo", await layoutOf("skopeo-old", "gzip"), "skopeo-old", ...chunked);
  await copy(join(newer, "bin/skopeo"), await layoutOf("skopeo-new", "gzip"), "skopeo-new", ...chunked);
  for (const tag of ["soci-v1", "soci-v2-source", "soci-label"]) {
    await copy("skopeo", await layoutOf(tag, "gzip"), tag, asItIs);
  }
  await using tool = await startSociTool();
  await convertByCtrRemote(tool, registry);
  for (const tag of ["soci-v1", "soci-label"]) await createIndex(tool, imageOf(registry, tag));
  await hideIndex(registry);
  const [from, to] = [imageOf(registry, "soci-v2-source"), imageOf(registry, "soci-v2")];
  const record = ["--record", join(scratch, "record")];
  await command(join(projectRoot, "bin/lazuli"), [
    "convert",
    from,
    to,
    "--to",
    "soci",
    ...SPAN_WORDS,
    ...record,
  ]);
}

async function convertByCtrRemote({ containerd }: SociTool, registry: DockerRegistry): Promise<void> {
  const source = imageOf(registry, "gzip");
  await containerd.ctr(["content", "fetch", "--plain-http", source]);
  for (const [tag, flag] of [
    ["esgz", "--estargz"],
    ["zstdchunked", "--zstdchunked"],
  ] as const) {
    await containerd.ctrRemote(["images", "convert", flag, "--oci", source, imageOf(registry, tag)]);
    await containerd.ctr(["images", "push", "--plain-http", imageOf(registry, tag)]);
  }
}

async function createIndex(tool: SociTool, image: string): Promise<void> {
  await tool.containerd.ctr(["content", "fetch", "--plain-http", image]);
  await tool.run("create", ...SPAN_WORDS, image);
  await tool.run("push", "--plain-http", "--quiet", image);
}

/** Takes away what leads from an image to its index: the list of its referrers, which is a tag at this registry. */
async function hideIndex(registry: DockerRegistry): Promise<void> {
  const base = `http://${registry.host}/v2/${REPOSITORY}/manifests`;
  const subject = await digestOfTag(registry, "soci-label");
  const list = await fetch(`${base}/${subject!.replace(":", "-")}`, { headers: { accept: INDEX_TYPE } });
  const { manifests } = (await list.json()) as { readonly manifests: readonly { readonly digest: string }[] };
  const accept = { accept: MANIFEST_TYPE };
  const index = await fetch(`${base}/${manifests[0]!.digest}`, { headers: accept });
  const body = Buffer.from(await index.arrayBuffer());
  const headers = { "content-type": MANIFEST_TYPE };
  const put = await fetch(`${base}/${LABELLED_INDEX}`, { method: "PUT", headers, body });
  const gone = await fetch(`${base}/${list.headers.get("docker-content-digest")}`, { method: "DELETE" });
  if (!put.ok || !gone.ok) throw new Error(`The registry answered ${put.status} and ${gone.status}`);
}

type Packing = "gzip" | "members" | "tar";

interface OddTars {
  readonly layers: readonly Buffer[];
  readonly config: Readonly<Record<string, unknown>>;
}

/** The odd image's archives, and what its containers run. */
async function readTars(scratch: string): Promise<OddTars> {
  const archive = await oddImageArchive({ folder: scratch });
  const folder = join(scratch, "archive");
  await mkdir(folder);
  await command("tar", ["-C", folder, "-xf", archive]);
  const blobs = join(folder, "blobs", "sha256");
  const documents: Record<string, unknown>[] = [];
  for (const name of await readdir(blobs)) {
    const { size } = await stat(join(blobs, name));
    const bytes = await readFile(join(blobs, name));
    if (size < 65_536 && bytes[0] === 0x7b) documents.push(JSON.parse(bytes.toString()));
  }
  const manifest = documents.find((one) => "layers" in one) as { layers: readonly { digest: string }[] };
  const layers: Buffer[] = [];
  for (const { digest } of manifest.layers)
    layers.push(gunzipSync(await readFile(join(blobs, digest.slice(7)))));
  const { config } = documents.find((one) => "rootfs" in one) as { config: Record<string, unknown> };
  return { layers, config };
}

async function writeLayout(
  layout: string,
  options: { readonly tars: OddTars; readonly padding: number | undefined; readonly packing: Packing },
): Promise<void> {
  const { tars, padding, packing } = options;
  const type = "application/vnd.oci.image.";
  const put = async (mediaType: string, bytes: Buffer): Promise<object> => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
    await writeFile(join(layout, "blobs", "sha256", hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const layers: object[] = [];
  const diffIds: string[] = [];
  for (const original of tars.layers) {
    const tar = padding === undefined ? trimmed(original) : Buffer.concat([original, Buffer.alloc(padding)]);
    diffIds.push(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
    const suffix = packing === "tar" ? "" : "+gzip";
    layers.push(await put(`${type}layer.v1.tar${suffix}`, packed(tar, packing)));
  }
  const config = await put(
    `${type}config.v1+json`,
    Buffer.from(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        config: tars.config,
        rootfs: { type: "layers", diff_ids: diffIds },
      }),
    ),
  );
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers }));
  const manifest = await put(MANIFEST_TYPE, bytes);
  const annotations = { "org.opencontainers.image.ref.name": "latest" };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await writeFile(join(layout, "index.json"), JSON.stringify(index));
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

/** An archive up to the two blocks that end it. */
function trimmed(tar: Buffer): Buffer {
  let end = tar.length;
  while (tar.subarray(end - TAR_BLOCK, end).every((byte) => byte === 0)) end -= TAR_BLOCK;
  return tar.subarray(0, end + 2 * TAR_BLOCK);
}

function packed(tar: Buffer, packing: Packing): Buffer {
  if (packing === "tar") return tar;
  const memberBytes = packing === "gzip" ? tar.length : MEMBER_BYTES;
  const members: Buffer[] = [];
  for (let at = 0; at < tar.length; at += memberBytes) {
    members.push(gzipSync(tar.subarray(at, at + memberBytes), { level: 1 }));
  }
  return Buffer.concat(members);
}
