import { sha256 } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  makeReference,
  mediaTypes,
  parseImageConfig,
  parseReference,
} from "../oci/index.js";
import { compressionOf } from "./decompressed.js";
import { goDescriptor, goJson } from "./go-json.js";
import { gzipLayer } from "./gzip-layer.js";
import { ociRefName } from "./image-names.js";
import type { ArchiveFiles, StoredFile } from "./read-archive.js";
import { IMAGE_NAME_ANNOTATION, REF_NAME_ANNOTATION } from "./store-image.js";
import { readStored } from "./stored-image.js";
import { hasCode } from "./transfer-errors.js";

export interface ArchiveIndexOptions {
  readonly store: ContentStore;
  readonly archive: ArchiveFiles;
  /** Layers of a Docker archive that are plain tars are kept as gzip. */
  readonly forceCompress: boolean;
  readonly signal: AbortSignal;
}

interface DockerImage {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

/**
 * The index of an archive: that of an OCI layout as it is, or one that is made of Docker's manifest.json.
 * @throws INVALID_ARGUMENT for an archive that is neither, or that names what it has not got
 */
export async function archiveIndex(options: ArchiveIndexOptions): Promise<Descriptor> {
  const { layout, files, dockerManifest } = options.archive;
  if (layout !== undefined) {
    const { imageLayoutVersion: version } = parsedJson(layout, "oci-layout") as {
      imageLayoutVersion?: unknown;
    };
    if (version !== "1.0.0") throw unfit(`unsupported OCI version ${String(version).slice(0, 64)}`);
    const index = files.get("index.json");
    if (index === undefined) throw unfit("missing index.json in OCI layout 1.0.0");
    return { mediaType: mediaTypes.ociIndex, ...index, annotations: {}, platform: undefined };
  }
  if (dockerManifest === undefined) throw unfit("unrecognized image format");
  const manifests: object[] = [];
  for (const image of dockerImages(dockerManifest)) manifests.push(...(await dockerEntries(options, image)));
  return await writeDocument(options.store, {
    mediaType: mediaTypes.ociIndex,
    document: { schemaVersion: 2, manifests },
  });
}

function dockerImages(bytes: Buffer): readonly DockerImage[] {
  const value = parsedJson(bytes, "manifest.json");
  if (!Array.isArray(value)) throw unfit("manifest.json is no list");
  const texts = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((one) => typeof one === "string");
  return value.map((one: Partial<Record<keyof DockerImage, unknown>> | null) => {
    const { Config, RepoTags, Layers } = one ?? {};
    if (typeof Config !== "string" || !texts(RepoTags ?? []) || !texts(Layers ?? [])) {
      throw unfit("manifest.json has an image of another form");
    }
    return { Config, RepoTags: (RepoTags ?? []) as string[], Layers: (Layers ?? []) as string[] };
  });
}

/** One entry for each of the image's tags. */
async function dockerEntries(options: ArchiveIndexOptions, image: DockerImage): Promise<object[]> {
  const { store, archive, signal } = options;
  const config = archive.files.get(image.Config);
  if (config === undefined) throw unfit(`image config ${JSON.stringify(image.Config)} not found`);
  const layers: object[] = [];
  for (const path of image.Layers) layers.push(goDescriptor(await dockerLayer(options, path)));
  const manifest = await writeDocument(store, {
    mediaType: mediaTypes.dockerManifest,
    document: {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: goDescriptor({ mediaType: mediaTypes.dockerConfig, ...config, platform: undefined }),
      layers,
    },
  });
  const { platform } = parseImageConfig(
    await readStored(store, config.digest, { signal, bytesMax: CONFIG_BYTES_MAX }),
  );
  const entry = { ...manifest, platform };
  if (image.RepoTags.length === 0) return [goDescriptor(entry)];
  return image.RepoTags.map((tag) => {
    const name = normalName(tag);
    const annotations = { [IMAGE_NAME_ANNOTATION]: name, [REF_NAME_ANNOTATION]: ociRefName(name) };
    return goDescriptor({ ...entry, annotations });
  });
}

/** A layer that the store has compressed already is taken so. */
async function dockerLayer(options: ArchiveIndexOptions, path: string): Promise<Descriptor> {
  const { store, archive } = options;
  const file = fileOrLink(archive, path);
  const packed = await packedForm(store, file);
  const found = packed ?? file;
  const compression = compressionOf(await beginningOf(store, found));
  const facts = { annotations: {}, platform: undefined };
  if (compression !== "none") return { mediaType: mediaTypes.dockerLayerGzip, ...found, ...facts };
  if (!options.forceCompress) return { mediaType: mediaTypes.dockerLayer, ...found, ...facts };
  const gzip = await gzipLayer({ store, digest: found.digest, signal: options.signal });
  return { mediaType: mediaTypes.dockerLayerGzip, ...gzip, ...facts };
}

function fileOrLink({ files, links }: ArchiveFiles, path: string): StoredFile {
  const file = files.get(path);
  if (file !== undefined) return file;
  const target = links.get(path);
  if (target === undefined) throw unfit(`layer ${JSON.stringify(path)} not found`);
  const linked = files.get(target);
  if (linked !== undefined) return linked;
  throw unfit(`no target for symlink layer from ${JSON.stringify(path)} to ${JSON.stringify(target)}`);
}

async function packedForm(store: ContentStore, { digest }: StoredFile): Promise<StoredFile | undefined> {
  for await (const info of store.walk([`labels."containerd.io/uncompressed"==${digest}`])) {
    return { digest: info.digest, size: info.size };
  }
  return undefined;
}

async function beginningOf(store: ContentStore, { digest }: StoredFile): Promise<Uint8Array> {
  await using reader = await store.open(digest);
  return await reader.read(0, Math.min(reader.size, 10));
}

async function writeDocument(
  store: ContentStore,
  { mediaType, document }: { readonly mediaType: string; readonly document: object },
): Promise<Descriptor> {
  const bytes = Buffer.from(goJson(document));
  const digest = sha256(bytes);
  const size = bytes.length;
  try {
    const writer = await store.writer({ ref: `manifest-${digest}`, total: size, expected: digest });
    try {
      if (writer.offset !== size) {
        if (writer.offset > 0) await writer.truncate(0);
        await writer.write(bytes);
      }
      await writer.commit({ size, expected: digest, labels: {} });
    } finally {
      await writer.close();
    }
  } catch (thrown) {
    if (!hasCode(thrown, "ALREADY_EXISTS")) throw thrown;
  }
  return { mediaType, digest, size, annotations: {}, platform: undefined };
}

/** A tag as a whole name; with a digest the tag is left out. */
function normalName(tag: string): string {
  const reference = parseReference(tag);
  if (reference.digest === undefined) return reference.toString();
  return makeReference({ ...reference, tag: undefined }).toString();
}

function parsedJson(bytes: Buffer, name: string): unknown {
  try {
    // Go's decoder takes the first value and leaves what follows; nobody writes more than one.
    return JSON.parse(bytes.toString("utf8")) ?? {};
  } catch (thrown) {
    throw invalidArgument(`untar ${name}: it is no JSON`, {
      subject: name,
      reason: "archive-invalid",
      cause: thrown,
    });
  }
}

function unfit(problem: string): LazuliError {
  return invalidArgument(problem, { reason: "archive-invalid" });
}
