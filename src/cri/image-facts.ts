import { type Digest, parseJson } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { dataLoss, resourceExhausted } from "../errors/index.js";
import type { TargetDescriptor } from "../metadata/index.js";
import {
  CONFIG_BYTES_MAX,
  chainId,
  type Descriptor,
  MANIFEST_BYTES_MAX,
  type Manifest,
  type Platform,
  parseImageConfig,
  parseManifestOrIndex,
  selectPlatform,
} from "../oci/index.js";
import { parseRunConfig, type RunConfig } from "../spec/index.js";

/** What an image is, whatever it is called. */
export interface ImageFacts {
  /** Digest of the config. */
  readonly id: Digest;
  /** Of this platform. */
  readonly manifestDigest: Digest;
  readonly config: RunConfig;
  /** Chain id of the top layer; "" for an image without layers. */
  readonly chainId: string;
  /** Of its documents, config and compressed layers, whether they are on the disk or not. */
  readonly sizeBytes: number;
}

/** Indexes in indexes; deeper ones are refused. */
const DEPTH_MAX = 4;
const JSON_BUDGET = { maxBytes: CONFIG_BYTES_MAX, maxDepth: 64, maxNodes: 500_000 };

/**
 * Reads what a target stands for on this platform.
 * @throws NOT_FOUND when a document is not there, INVALID_ARGUMENT when it can't be read
 */
export async function readImageFacts(
  store: ContentStore,
  target: TargetDescriptor,
  platform: Platform,
): Promise<ImageFacts> {
  const { manifest, digest, sizeBytes } = await chosenManifest(store, target, platform);
  const bytes = await readBlob(store, manifest.config.digest, CONFIG_BYTES_MAX);
  const parts = [manifest.config, ...manifest.layers].map(({ size }) => Math.max(size, 0));
  return {
    id: manifest.config.digest,
    manifestDigest: digest,
    config: parseRunConfig(bytes),
    chainId: chainId(parseImageConfig(bytes).diffIds) ?? "",
    sizeBytes: parts.reduce((sum, size) => sum + size, sizeBytes),
  };
}

/** The config as the image specification has it, without fields that say nothing: so containerd shows it to people. */
export async function readSpecification(store: ContentStore, id: Digest): Promise<Record<string, unknown>> {
  const document = parseJson(await readBlob(store, id, CONFIG_BYTES_MAX), JSON_BUDGET);
  const fields = chosenFields(document, specificationKeys);
  const { config, history } = fields;
  return {
    ...fields,
    ...(config === undefined ? {} : { config: chosenFields(config, configKeys) }),
    ...(Array.isArray(history) ? { history: history.map((one) => chosenFields(one, historyKeys)) } : {}),
  };
}

/** The labels that an image's maker gave it. @throws as readImageFacts() */
export async function readImageLabels(
  store: ContentStore,
  target: TargetDescriptor,
  platform: Platform,
): Promise<Readonly<Record<string, unknown>>> {
  const { id } = await readImageFacts(store, target, platform);
  const { config } = await readSpecification(store, id);
  const labels = (config as { readonly Labels?: unknown } | undefined)?.Labels;
  return typeof labels === "object" && labels !== null ? (labels as Record<string, unknown>) : {};
}

const specificationKeys = [
  "created",
  "author",
  "architecture",
  "variant",
  "os",
  "os.version",
  "os.features",
  "config",
  "rootfs",
  "history",
];
const configKeys = [
  "User",
  "ExposedPorts",
  "Env",
  "Entrypoint",
  "Cmd",
  "Volumes",
  "WorkingDir",
  "Labels",
  "StopSignal",
  "ArgsEscaped",
];
const historyKeys = ["created", "created_by", "author", "comment", "empty_layer"];

function chosenFields(value: unknown, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null) return {};
  const fields = value as Record<string, unknown>;
  return Object.fromEntries(
    keys
      .filter((key) => Object.hasOwn(fields, key) && !isEmpty(fields[key]))
      .map((key) => [key, fields[key]]),
  );
}

function isEmpty(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === "" || value === null || value === false;
}

interface Chosen {
  readonly manifest: Manifest;
  readonly digest: Digest;
  /** Of the documents on the way to it. */
  readonly sizeBytes: number;
}

async function chosenManifest(
  store: ContentStore,
  target: TargetDescriptor,
  platform: Platform,
): Promise<Chosen> {
  let descriptor: Pick<Descriptor, "digest" | "mediaType" | "size"> = target;
  let sizeBytes = 0;
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const bytes = await readBlob(store, descriptor.digest, MANIFEST_BYTES_MAX);
    sizeBytes += descriptor.size;
    const document = parseManifestOrIndex(bytes, { contentType: descriptor.mediaType });
    if (document.kind === "manifest") return { manifest: document, digest: descriptor.digest, sizeBytes };
    descriptor = selectPlatform(document, platform);
  }
  throw resourceExhausted(`Cannot read image ${target.digest}: its indexes are deeper than ${DEPTH_MAX}`, {
    subject: target.digest,
    reason: "index-too-deep",
  });
}

async function readBlob(store: ContentStore, digest: Digest, bytesMax: number): Promise<Uint8Array> {
  await using reader = await store.open(digest);
  if (reader.size > bytesMax) {
    throw resourceExhausted(`Cannot read ${digest}: want at most ${bytesMax} bytes, got ${reader.size}`, {
      subject: digest,
      reason: "blob-too-large",
    });
  }
  const bytes = await reader.read(0, reader.size);
  if (bytes.length === reader.size) return bytes;
  throw dataLoss(`Cannot read ${digest}: want ${reader.size} bytes, got ${bytes.length}`, {
    subject: digest,
    reason: "blob-cut",
  });
}
