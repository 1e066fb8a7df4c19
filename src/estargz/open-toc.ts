import type { Digest } from "../bytes/index.js";
import { dataLoss, failedPrecondition } from "../errors/index.js";
import { FOOTER_SIZE_MAX, parseFooter } from "./footer.js";
import { requireTocDigest, requireTocSize, verifiedToc } from "./inflate-toc.js";

/** Hands out exactly these bytes of the blob. They need not be verified. */
export type ReadBlob = (range: {
  readonly offset: number;
  readonly length: number;
  readonly signal?: AbortSignal | undefined;
}) => Promise<Buffer>;

export interface OpenTocOptions {
  readonly blobSize: number;
  readonly read: ReadBlob;
  /** Annotation `containerd.io/snapshot/stargz/toc.digest` of the layer. */
  readonly tocDigest: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the first read; see tailGuess(). */
  readonly tailGuessBytes?: number | undefined;
  /** Brings the layer of the TOC image, for blobs that keep their TOC there. See tocReference(). */
  readonly loadExternalToc?: ((options: { signal?: AbortSignal | undefined }) => Promise<Buffer>) | undefined;
}

export interface OpenedToc {
  /** The verified JSON. */
  readonly toc: Buffer;
  readonly kind: "estargz" | "legacy" | "external";
  /** Bytes of the blob that can hold content. */
  readonly payloadEnd: number;
}

const TAIL_BYTES_MIN = 128 * 1024;
const TAIL_BYTES_MAX = 4 * 1024 * 1024;
/** A TOC is 1 to 2 % of its blob in images with files of ordinary size. */
const TAIL_PART = 0.02;

/** Bytes of a blob's end that most likely hold footer and TOC. */
export function tailGuess(blobSize: number): number {
  const guess = Math.ceil(blobSize * TAIL_PART);
  return Math.min(blobSize, Math.max(TAIL_BYTES_MIN, Math.min(TAIL_BYTES_MAX, guess)));
}

/**
 * Reads and verifies the TOC of a blob: one read of the tail, and a second one for what the tail lacks.
 *
 * @throws as parseFooter(); FAILED_PRECONDITION `toc-digest-missing`, `toc-external`; DATA_LOSS `toc-digest-mismatch`,
 * `short-read`; INVALID_ARGUMENT `toc-gzip-malformed`, `toc-tar-malformed`; RESOURCE_EXHAUSTED `toc-too-large`; and
 * what `read` throws
 */
export async function openToc(options: OpenTocOptions): Promise<OpenedToc> {
  const { blobSize, tocDigest, signal } = options;
  requireTocDigest(tocDigest);
  const wanted = Math.max(options.tailGuessBytes ?? tailGuess(blobSize), FOOTER_SIZE_MAX);
  const tailStart = Math.max(0, blobSize - wanted);
  const tail = await readExactly(options, tailStart, blobSize - tailStart);
  const footer = parseFooter(tail, blobSize);
  if (footer.kind === "external") {
    if (options.loadExternalToc === undefined) {
      throw failedPrecondition("Cannot read layer lazily: its TOC lies in another image", {
        reason: "toc-external",
      });
    }
    const tocBlob = await options.loadExternalToc({ signal });
    return await openExternalToc({ tocBlob, blobSize, tocDigest, signal });
  }
  const tocEnd = blobSize - footer.footerSize;
  requireTocSize(tocEnd - footer.tocOffset);
  const known = tail.subarray(Math.max(0, footer.tocOffset - tailStart), tocEnd - tailStart);
  const missing = Math.max(0, tailStart - footer.tocOffset);
  const compressed =
    missing === 0 ? known : Buffer.concat([await readExactly(options, footer.tocOffset, missing), known]);
  const toc = await verifiedToc({ compressed, tocDigest, signal });
  return { toc, kind: footer.kind, payloadEnd: footer.tocOffset };
}

/** Verifies the TOC that a layer of the TOC image holds. @throws as openToc() */
export async function openExternalToc(options: {
  /** gzip(tar(stargz.index.json)) */
  readonly tocBlob: Buffer;
  /** Bytes of the layer that the TOC is about. */
  readonly blobSize: number;
  readonly tocDigest: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<OpenedToc> {
  const { tocBlob, blobSize, tocDigest, signal } = options;
  const toc = await verifiedToc({ compressed: tocBlob, tocDigest, signal });
  return { toc, kind: "external", payloadEnd: blobSize };
}

async function readExactly(options: OpenTocOptions, offset: number, length: number): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0);
  const bytes = await options.read({ offset, length, signal: options.signal });
  if (bytes.length !== length) {
    throw dataLoss(`Cannot read layer: want ${length} bytes at ${offset}, got ${bytes.length}`, {
      reason: "short-read",
    });
  }
  return bytes;
}
