import { type Digest, digestAlgorithm, parseDigest } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import { requireTocDigest, TOC_DIGEST_ANNOTATION } from "../estargz/index.js";
import type { FramePlace } from "./frames.js";
import { refuseBlob } from "./refusal.js";

/** Annotations of a layer's descriptor, as containers/storage writes them today. */
export const MANIFEST_CHECKSUM_ANNOTATION = "io.github.containers.zstd-chunked.manifest-checksum";
export const MANIFEST_POSITION_ANNOTATION = "io.github.containers.zstd-chunked.manifest-position";
export const TAR_SPLIT_CHECKSUM_ANNOTATION = "io.github.containers.zstd-chunked.tarsplit-checksum";
export const TAR_SPLIT_POSITION_ANNOTATION = "io.github.containers.zstd-chunked.tarsplit-position";
/** As stargz-snapshotter writes them, and as containers/storage did before it had tar-split. */
export const STARGZ_MANIFEST_CHECKSUM_ANNOTATION = "io.containers.zstd-chunked.manifest-checksum";
export const STARGZ_MANIFEST_POSITION_ANNOTATION = "io.containers.zstd-chunked.manifest-position";

export type Annotations = Readonly<Record<string, string>>;

/** The manifest type of a TOC as eStargz has it. */
export const MANIFEST_TYPE = 1;

/** What a layer's annotations say, checked. */
export interface KnownPlaces {
  /** Digest of the TOC's JSON. */
  readonly tocDigest: Digest | undefined;
  /** Digest of the compressed TOC. */
  readonly manifestChecksum: Digest | undefined;
  readonly manifest: FramePlace | undefined;
  /** Digest of the compressed tar-split. */
  readonly tarSplitChecksum: Digest | undefined;
  readonly tarSplit: FramePlace | undefined;
}

/**
 * Reads the annotations of both dialects.
 * @throws INVALID_ARGUMENT `annotation-malformed`, `annotation-conflict`, `manifest-type-unsupported`, `digest-invalid`;
 * FAILED_PRECONDITION `toc-digest-missing` when nothing says what the TOC must be, `toc-digest-unsupported`
 */
export function parseAnnotations(annotations: Annotations): KnownPlaces {
  const tocDigest = digestAt(annotations, [TOC_DIGEST_ANNOTATION]);
  const manifestChecksum = digestAt(annotations, [
    MANIFEST_CHECKSUM_ANNOTATION,
    STARGZ_MANIFEST_CHECKSUM_ANNOTATION,
  ]);
  requireTocDigest(tocDigest ?? manifestChecksum);
  const position = textAt(annotations, [MANIFEST_POSITION_ANNOTATION, STARGZ_MANIFEST_POSITION_ANNOTATION]);
  const tarSplitPosition = textAt(annotations, [TAR_SPLIT_POSITION_ANNOTATION]);
  return {
    tocDigest,
    manifestChecksum,
    manifest: position === undefined ? undefined : manifestPlace(position),
    tarSplitChecksum: digestAt(annotations, [TAR_SPLIT_CHECKSUM_ANNOTATION]),
    tarSplit: tarSplitPosition === undefined ? undefined : placeOf(numbersOf(tarSplitPosition, 3)),
  };
}

function textAt(annotations: Annotations, keys: readonly string[]): string | undefined {
  let found: string | undefined;
  for (const key of keys) {
    const value = Object.hasOwn(annotations, key) ? annotations[key] : undefined;
    if (value === undefined) continue;
    if (found !== undefined && found !== value) {
      throw refuseBlob("annotation-conflict", `two annotations disagree: ${keys.join(", ")}`);
    }
    found = value;
  }
  return found;
}

function digestAt(annotations: Annotations, keys: readonly string[]): Digest | undefined {
  const text = textAt(annotations, keys);
  if (text === undefined) return undefined;
  const digest = parseDigest(text);
  if (digestAlgorithm(digest) === "sha256") return digest;
  throw failedPrecondition("Cannot read layer lazily: a digest in its annotations is not sha256", {
    subject: digest,
    reason: "toc-digest-unsupported",
  });
}

function manifestPlace(position: string): FramePlace {
  const numbers = numbersOf(position, 4);
  requireManifestType(numbers[3]!);
  return placeOf(numbers);
}

export function requireManifestType(type: number): void {
  if (type !== MANIFEST_TYPE) {
    throw refuseBlob("manifest-type-unsupported", `want TOC type ${MANIFEST_TYPE}, got ${type}`);
  }
}

function placeOf(numbers: readonly number[]): FramePlace {
  return { offset: numbers[0]!, compressedSize: numbers[1]!, size: numbers[2]! };
}

/** Decimal numbers between colons. */
function numbersOf(text: string, count: number): number[] {
  const shape = /^\d{1,16}(?::\d{1,16}){2,3}$/;
  const numbers = text.length <= 80 && shape.test(text) ? text.split(":").map(Number) : [];
  if (numbers.length !== count || !numbers.every(Number.isSafeInteger)) {
    throw refuseBlob(
      "annotation-malformed",
      `want ${count} numbers between colons, got ${JSON.stringify(text.slice(0, 80))}`,
    );
  }
  return numbers;
}
