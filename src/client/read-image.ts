import { createHash } from "node:crypto";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { dataLoss, invalidArgument, resourceExhausted } from "../errors/index.js";
import {
  CONFIG_BYTES_MAX,
  type ImageLayer,
  imageLayers,
  MANIFEST_BYTES_MAX,
  type Manifest,
  type Platform,
  parseImageConfig,
  parseManifestOrIndex,
  selectPlatform,
} from "../oci/index.js";
import { machineArchitecture, parseRunConfig, type RunConfig } from "../spec/index.js";
import type { Target, Waiting } from "./messages.js";

/** Indexes in indexes. */
const INDEX_DEPTH_MAX = 4;

/** What runs of an image on one platform. */
export interface PlatformImage {
  /** The digest of the manifest. */
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly config: RunConfig;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
}

export function machinePlatform(): Platform {
  return { os: "linux", architecture: machineArchitecture() };
}

/** `linux/arm64/v8` → its parts. @throws INVALID_ARGUMENT `platform-invalid` */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...more] = text.split("/");
  if (os && architecture && more.length === 0) return { os, architecture, variant };
  throw invalidArgument(`Cannot use the platform ${JSON.stringify(text)}: want OS/ARCH[/VARIANT]`, {
    subject: text,
    reason: "platform-invalid",
  });
}

/** A blob as a whole, verified. @throws NOT_FOUND, RESOURCE_EXHAUSTED `blob-too-large`, DATA_LOSS `digest-mismatch` */
export async function readSmallBlob(
  content: ContentStore,
  digest: Digest,
  { maxBytes, signal }: Waiting & { readonly maxBytes: number },
): Promise<Buffer> {
  await using reader = await content.open(digest, { signal });
  if (reader.size > maxBytes) {
    throw resourceExhausted(`Cannot read ${digest}: want at most ${maxBytes} bytes, got ${reader.size}`, {
      subject: digest,
      reason: "blob-too-large",
    });
  }
  const bytes = Buffer.from(await reader.read(0, reader.size));
  const algorithm = digestAlgorithm(digest);
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (actual === digest) return bytes;
  throw dataLoss(`Cannot read ${digest}: its bytes have the digest ${actual}`, {
    subject: digest,
    reason: "digest-mismatch",
  });
}

/** The manifest, config and layers for a platform. @throws NOT_FOUND `platform-missing`, and what reading throws */
export async function readPlatformImage(
  content: ContentStore,
  target: Pick<Target, "digest">,
  { platform = machinePlatform(), signal }: Waiting & { readonly platform?: Platform | undefined } = {},
): Promise<PlatformImage> {
  let { digest } = target;
  for (let depth = 0; depth < INDEX_DEPTH_MAX; depth += 1) {
    const bytes = await readSmallBlob(content, digest, { maxBytes: MANIFEST_BYTES_MAX, signal });
    const document = parseManifestOrIndex(bytes);
    if (document.kind === "index") {
      digest = selectPlatform(document, platform).digest;
      continue;
    }
    const config = await readSmallBlob(content, document.config.digest, {
      maxBytes: CONFIG_BYTES_MAX,
      signal,
    });
    const layers = imageLayers(document, parseImageConfig(config));
    return { digest, manifest: document, config: parseRunConfig(config), layers };
  }
  throw invalidArgument(`Cannot read the image ${target.digest}: its indexes lie too deep in each other`, {
    subject: target.digest,
    reason: "index-too-deep",
  });
}
