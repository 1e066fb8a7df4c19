import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import {
  CONFIG_BYTES_MAX,
  imageLayers,
  MANIFEST_BYTES_MAX,
  parseImageConfig,
  parseManifest,
} from "../oci/index.js";
import type { ContentReader } from "./host-content.js";
import type { IndexedImage } from "./image-index.js";

export interface ReadImage {
  readonly reader: ContentReader;
  readonly namespace: string;
  readonly manifestDigest: Digest;
  readonly signal: AbortSignal;
}

/**
 * The layers of an image with their chain ids, from its manifest and config in a content store. undefined while the
 * config is not there yet; an image without layers where one of the two is not what the specification says, so that it is
 * not read again. @throws UNAVAILABLE, DEADLINE_EXCEEDED
 */
export async function readImage(options: ReadImage): Promise<IndexedImage | undefined> {
  const { reader, namespace, manifestDigest, signal } = options;
  try {
    const bytes = await reader.read({
      namespace,
      digest: manifestDigest,
      sizeMax: MANIFEST_BYTES_MAX,
      signal,
    });
    const manifest = parseManifest(bytes);
    const { digest } = manifest.config;
    const config = await reader.read({ namespace, digest, sizeMax: CONFIG_BYTES_MAX, signal });
    const { annotations } = manifest;
    return {
      namespace,
      manifestDigest,
      annotations,
      layers: imageLayers(manifest, parseImageConfig(config)),
    };
  } catch (thrown) {
    const { code, message, reason } = LazuliError.from(thrown);
    if (code === "UNAVAILABLE" || code === "DEADLINE_EXCEEDED" || signal.aborted) throw thrown;
    if (code === "NOT_FOUND") return undefined;
    log.debug("Passed over an image in the host's content store", { manifestDigest, reason, error: message });
    return { namespace, manifestDigest, annotations: {}, layers: [] };
  }
}
