import { readFile } from "node:fs/promises";
import { LazuliError } from "../errors/index.js";
import { MANIFEST_BYTES_MAX, parseManifestOrIndex } from "../oci/index.js";
import type { CheckedBlob } from "./check-store.js";

/** containerd's labels that keep what a manifest or index names (ChildGCLabels of its images room). */
const LABEL = "containerd.io/gc.ref.content";

/**
 * The labels that a manifest or index has after a pull: `gc.ref.content.config`, `.l.<number>`, `.m.<number>`, each
 * with a digest. Empty for every other blob.
 */
export async function referenceLabels(blob: CheckedBlob): Promise<Readonly<Record<string, string>>> {
  if (blob.size > MANIFEST_BYTES_MAX || blob.size === 0) return {};
  const bytes = await readFile(blob.path);
  // Every manifest and index is a JSON object.
  if (bytes[0] !== "{".charCodeAt(0)) return {};
  try {
    const document = parseManifestOrIndex(bytes);
    if (document.kind === "index") return numbered("m", document.manifests);
    return { [`${LABEL}.config`]: document.config.digest, ...numbered("l", document.layers) };
  } catch (thrown) {
    if (thrown instanceof LazuliError) return {}; // Another JSON document, such as an image config.
    throw thrown;
  }
}

function numbered(
  letter: string,
  descriptors: readonly { readonly digest: string }[],
): Record<string, string> {
  return Object.fromEntries(descriptors.map(({ digest }, index) => [`${LABEL}.${letter}.${index}`, digest]));
}
