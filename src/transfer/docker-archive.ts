import { parseJson, sha256 } from "../bytes/index.js";
import { dataLoss, invalidArgument, type LazuliError, notFound } from "../errors/index.js";
import { MANIFEST_BYTES_MAX, mediaTypes, parseImageConfig, parseReference } from "../oci/index.js";
import { type Member, readMember, readMembers } from "./archive-members.js";
import type { ImageDocument, ImageSource } from "./contract.js";
import { type MadeDocument, madeDocument } from "./documents.js";
import { fileBlob } from "./file-blob.js";

/** An image of an archive, as its `manifest.json` has it. */
interface SavedImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

const JSON_BUDGET = { maxBytes: MANIFEST_BYTES_MAX, maxDepth: 8, maxNodes: 200_000 };
const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);
const ZSTD_MAGIC = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);

/**
 * An image in a tar that `docker save`, `podman save` or `skopeo copy … docker-archive:` has written, for reading in place.
 * It has no manifest: one is made of what it says. Its layers are archives that nobody has compressed, so that the diff ids
 * of its config are their digests; whoever reads them compares.
 *
 * @throws NOT_FOUND `archive-missing`, `image-missing`; INVALID_ARGUMENT `archive-invalid`, `archive-compressed`,
 * `image-ambiguous`; DATA_LOSS `blob-missing`
 */
export async function dockerArchiveSource(path: string, name: string | undefined): Promise<ImageSource> {
  const members = await readMembers(path);
  const image = chosenImage(await savedImages(path, members), { path, name });
  const member = (of: string): Member => {
    const found = members.get(of);
    if (found !== undefined) return found;
    throw dataLoss(`Cannot find ${of} in ${path}`, { subject: path, reason: "blob-missing" });
  };
  const blobs = new Map<string, Member>();
  const configMember = member(image.config);
  const configBytes = await readMember(path, configMember, MANIFEST_BYTES_MAX);
  const { diffIds } = parseImageConfig(configBytes);
  if (diffIds.length !== image.layers.length) {
    throw invalid(path, `want ${diffIds.length} layers as its config says, got ${image.layers.length}`);
  }
  const layers = [];
  for (const [index, digest] of diffIds.entries()) {
    const layer = member(image.layers[index]!);
    await requireArchive(path, layer);
    blobs.set(digest, layer);
    layers.push({ mediaType: mediaTypes.ociLayer, digest, size: layer.size });
  }
  const config = { mediaType: mediaTypes.ociConfig, digest: sha256(configBytes), size: configBytes.length };
  blobs.set(config.digest, configMember);
  const mediaType = mediaTypes.ociManifest;
  const manifest = madeDocument(mediaType, { schemaVersion: 2, mediaType, config, layers });
  return sourceOf({ path, name, manifest, blobs });
}

function sourceOf(parts: {
  readonly path: string;
  readonly name: string | undefined;
  readonly manifest: MadeDocument;
  readonly blobs: ReadonlyMap<string, Member>;
}): ImageSource {
  const { path, name, manifest, blobs } = parts;
  const missing = (digest: string): LazuliError =>
    notFound(`Cannot find ${digest} in ${path}`, { subject: path, reason: "blob-missing" });
  return {
    description: `docker-archive:${path}${name === undefined ? "" : `:${name}`}`,
    repository: undefined,
    root: async () => manifest,
    document: async ({ digest }): Promise<ImageDocument> => {
      if (digest !== manifest.digest) throw missing(digest);
      return manifest;
    },
    openBlob: async ({ digest, size }) => {
      const blob = blobs.get(digest);
      if (blob === undefined) throw missing(digest);
      return await fileBlob({ path, digest, size, offset: blob.offset });
    },
    referrers: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function savedImages(path: string, members: ReadonlyMap<string, Member>): Promise<SavedImage[]> {
  const list = members.get("manifest.json");
  if (list === undefined) {
    throw notFound(`Cannot read the archive ${path}: it has no manifest.json`, {
      subject: path,
      reason: "archive-missing",
      hint: "Give a file that `docker save` has written; one of an OCI layout is oci-archive:<file>",
    });
  }
  const value = parseJson(await readMember(path, list, MANIFEST_BYTES_MAX), JSON_BUDGET);
  if (!Array.isArray(value)) throw invalid(path, "its manifest.json is no list");
  return value.map((image: unknown) => {
    const { Config, RepoTags, Layers } = (image ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof Config !== "string" || !isTexts(Layers))
      throw invalid(path, "an image has no config or no layers");
    return { config: Config, layers: Layers, names: isTexts(RepoTags) ? RepoTags : [] };
  });
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

/** The image that a name means; without a name the only one. */
function chosenImage(
  images: readonly SavedImage[],
  { path, name }: { readonly path: string; readonly name: string | undefined },
): SavedImage {
  const wanted = name === undefined ? undefined : parseReference(name).toString();
  const named = images.filter(
    ({ names }) => wanted === undefined || names.some((one) => parseReference(one).toString() === wanted),
  );
  const all = images.flatMap(({ names }) => names).join(", ") || "none";
  if (named.length === 1) return named[0]!;
  if (named.length === 0) {
    throw notFound(`Cannot find ${name ?? "an image"} in ${path}: it has ${all}`, {
      subject: path,
      reason: "image-missing",
    });
  }
  throw invalidArgument(`Cannot choose an image of ${path}: want a name, it has ${all}`, {
    subject: path,
    reason: "image-ambiguous",
    hint: "Write the name behind the path: docker-archive:<file>:<name>:<tag>",
  });
}

/** A compressed layer has another digest than its diff id, which only a manifest would tell. */
async function requireArchive(path: string, layer: Member): Promise<void> {
  const start = await readMember(path, layer, ZSTD_MAGIC.length);
  if (!start.equals(ZSTD_MAGIC) && !start.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return;
  throw invalidArgument(`Cannot read the archive ${path}: its layers are compressed`, {
    subject: path,
    reason: "archive-compressed",
    hint: "Archives of newer Dockers are OCI layouts as well: give it as oci-archive:<file>",
  });
}

function invalid(path: string, problem: string): LazuliError {
  return invalidArgument(`Cannot read the archive ${path}: ${problem}`, {
    subject: path,
    reason: "archive-invalid",
  });
}
