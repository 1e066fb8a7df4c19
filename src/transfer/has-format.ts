import { LazuliError } from "../errors/index.js";
import { FOOTER_SIZE_MAX, parseFooter, TOC_DIGEST_ANNOTATION } from "../estargz/index.js";
import type { Descriptor } from "../oci/index.js";
import { layerType } from "../oci/index.js";
import type { BlobSource } from "../registry/index.js";
import {
  MANIFEST_CHECKSUM_ANNOTATION,
  parseZstdFooter,
  STARGZ_MANIFEST_CHECKSUM_ANNOTATION,
  ZSTD_FOOTER_SIZE_MAX,
} from "../zstdchunked/index.js";
import type { Waiting } from "./contract.js";
import type { LayerOptions } from "./layer-options.js";

/**
 * Whether a layer is already what it would be converted to, as its descriptor and its last bytes say. One whose files
 * are to be put in front is made again, and so is one that has its TOC elsewhere.
 */
export async function hasFormat(
  layer: Descriptor,
  options: LayerOptions,
  from: Waiting & { readonly open: () => Promise<BlobSource> },
): Promise<boolean> {
  const { format, prioritized, isTocExternal, dialect } = options;
  if (format === "uncompressed") return layerType(layer.mediaType)?.compression === "none";
  if (format === "soci" || prioritized.length > 0 || isTocExternal) return false;
  const { annotations, size } = layer;
  const keys =
    format === "estargz"
      ? [TOC_DIGEST_ANNOTATION]
      : [dialect === "stargz" ? STARGZ_MANIFEST_CHECKSUM_ANNOTATION : MANIFEST_CHECKSUM_ANNOTATION];
  if (!keys.some((key) => annotations[key] !== undefined)) return false;
  const length = Math.min(size, Math.max(FOOTER_SIZE_MAX, ZSTD_FOOTER_SIZE_MAX));
  const pieces: Buffer[] = [];
  const blob = await from.open();
  for await (const piece of blob.readRange({ offset: size - length, length, signal: from.signal })) {
    pieces.push(piece);
  }
  try {
    if (format === "zstdchunked") parseZstdFooter(Buffer.concat(pieces), size);
    else return parseFooter(Buffer.concat(pieces), size).kind === "estargz";
    return true;
  } catch (thrown) {
    // A footer of another format, or none: the layer is converted.
    if (thrown instanceof LazuliError) return false;
    throw thrown;
  }
}
