import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { withSignal } from "../async/index.js";
import { type Digest, digestAlgorithm, sha256 } from "../bytes/index.js";
import { dataLoss, failedPrecondition, invalidArgument } from "../errors/index.js";
import {
  TOC_COMPRESSED_BYTES_MAX,
  TOC_JSON_BYTES_MAX,
  TOC_RATIO_FREE_BYTES,
  TOC_RATIO_MAX,
} from "./limits.js";
import { refuseTocSize } from "./refusal.js";
import { tocOfTar } from "./toc-tar.js";

/** zlib makes a buffer of this size at a time; its default of 16 KiB costs a turn of the event loop each. */
const INFLATE_CHUNK_BYTES = 256 * 1024;
/** The tar around the JSON: header, padding, end. */
const TAR_EXTRA_BYTES = 4096;

const inflate = promisify(gunzip);

export interface TocMember {
  /** gzip(tar(stargz.index.json)) */
  readonly compressed: Buffer;
  /** What the image's manifest says that the JSON must have. */
  readonly tocDigest: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws FAILED_PRECONDITION with reason `toc-digest-missing` or `toc-digest-unsupported` */
export function requireTocDigest(tocDigest: Digest | undefined): Digest {
  if (tocDigest === undefined) {
    throw failedPrecondition("Cannot read layer lazily: its TOC has no digest to be checked against", {
      reason: "toc-digest-missing",
      hint: "The image needs OCI media types and the annotation containerd.io/snapshot/stargz/toc.digest on each layer",
    });
  }
  if (digestAlgorithm(tocDigest) !== "sha256") {
    throw failedPrecondition("Cannot read layer lazily: the digest of its TOC is not sha256", {
      subject: tocDigest,
      reason: "toc-digest-unsupported",
    });
  }
  return tocDigest;
}

export function requireTocSize(compressedSize: number): void {
  if (compressedSize > TOC_COMPRESSED_BYTES_MAX) {
    throw refuseTocSize(
      "toc-too-large",
      `want at most ${TOC_COMPRESSED_BYTES_MAX} compressed bytes, got ${compressedSize}`,
    );
  }
}

/** Inflates the TOC within a budget and verifies it; nothing of it has been parsed when it returns. */
export async function verifiedToc(member: TocMember): Promise<Buffer> {
  const tocDigest = requireTocDigest(member.tocDigest);
  requireTocSize(member.compressed.length);
  const toc = tocOfTar(await inflated(member));
  const actual = sha256(toc);
  if (actual !== tocDigest) {
    throw dataLoss(`Cannot use TOC: want digest ${tocDigest}, got ${actual}`, {
      subject: tocDigest,
      reason: "toc-digest-mismatch",
    });
  }
  return toc;
}

async function inflated({ compressed, signal }: TocMember): Promise<Buffer> {
  const byRatio = Math.max(compressed.length * TOC_RATIO_MAX, TOC_RATIO_FREE_BYTES);
  const maxOutputLength = Math.min(TOC_JSON_BYTES_MAX, byRatio) + TAR_EXTRA_BYTES;
  const work = inflate(compressed, { maxOutputLength, chunkSize: INFLATE_CHUNK_BYTES });
  try {
    return await withSignal(work, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw refuseTocSize(
        "toc-too-large",
        `${compressed.length} bytes inflate to more than ${maxOutputLength}`,
      );
    }
    throw invalidArgument("Cannot inflate TOC: it is no whole gzip stream", {
      reason: "toc-gzip-malformed",
      cause: error,
    });
  }
}
