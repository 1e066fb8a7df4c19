import { failedPrecondition, invalidArgument, type LazuliError, unimplemented } from "../errors/index.js";

/** What the last bytes of a blob say. */
export type Footer =
  | {
      readonly kind: "estargz" | "legacy";
      readonly footerSize: number;
      /** Where the TOC's gzip member begins: also the end of the payload. */
      readonly tocOffset: number;
    }
  | { readonly kind: "external"; readonly footerSize: number };

/** Bytes of the longest footer: how much of a blob's end parseFooter() wants. */
export const FOOTER_SIZE_MAX = 51;

const ESTARGZ_SIZE = 51;
const LEGACY_SIZE = 47;
const EXTERNAL_SIZE = 46;
const HEX_LENGTH = 16;
const ZSTD_CHUNKED_MAGICS = [
  Buffer.from("476e556c496e5578", "hex"),
  Buffer.from("474e556c496e5578", "hex"),
] as const;

/** What a reader of the footer's stream sees for file system: unknown. */
const GZIP_OS_UNKNOWN = Buffer.from("00ff", "hex");
/** gzip header with FEXTRA and no time; XFL and OS (bytes 8 and 9) may be any. */
const GZIP_HEADER = Buffer.from("1f8b080400000000", "hex");
/** An empty stored block that ends the stream, CRC32 0, ISIZE 0. */
const GZIP_EMPTY_TAIL = Buffer.from("010000ffff0000000000000000", "hex");

const ESTARGZ_EXTRA = Buffer.from("1a0053471600", "hex");
const LEGACY_EXTRA = Buffer.from("1600", "hex");
const EXTERNAL_EXTRA = Buffer.concat([
  Buffer.from("150053471100", "hex"),
  Buffer.from("STARGZEXTERNALTOC", "latin1"),
]);
const MAGIC = Buffer.from("STARGZ", "latin1");
const EXTRA_AT = 10;

/**
 * Reads the footer of an eStargz blob by hand from its fixed bytes.
 *
 * @param tail the last bytes of the blob, FOOTER_SIZE_MAX or more unless the blob is shorter
 * @throws FAILED_PRECONDITION `not-estargz`; UNIMPLEMENTED `zstd-chunked`; INVALID_ARGUMENT `footer-malformed`,
 * `footer-offset-malformed`, `footer-offset-out-of-range`
 */
export function parseFooter(tail: Uint8Array, blobSize: number): Footer {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength);
  const available = Math.min(bytes.length, blobSize);
  if (endsLike(bytes, available, EXTERNAL_SIZE, EXTERNAL_EXTRA)) {
    checkTail(bytes);
    return { kind: "external", footerSize: EXTERNAL_SIZE };
  }
  for (const [kind, footerSize, extra] of [
    ["estargz", ESTARGZ_SIZE, ESTARGZ_EXTRA],
    ["legacy", LEGACY_SIZE, LEGACY_EXTRA],
  ] as const) {
    if (!endsLike(bytes, available, footerSize, extra)) continue;
    const hexAt = bytes.length - footerSize + EXTRA_AT + extra.length;
    const magic = bytes.subarray(hexAt + HEX_LENGTH, hexAt + HEX_LENGTH + MAGIC.length);
    if (!magic.equals(MAGIC)) throw malformedFooter("the magic STARGZ is missing");
    checkTail(bytes);
    const hex = bytes.toString("latin1", hexAt, hexAt + HEX_LENGTH);
    return { kind, footerSize, tocOffset: parseOffset(hex, blobSize - footerSize) };
  }
  throw notEstargz(bytes, available);
}

/** The footer of an eStargz blob. `tocOffset`: where the member with the TOC begins. */
export function footerOf(footer: { kind: "estargz"; tocOffset: number } | { kind: "external" }): Buffer {
  const extra =
    footer.kind === "external"
      ? [EXTERNAL_EXTRA]
      : [
          ESTARGZ_EXTRA,
          Buffer.from(footer.tocOffset.toString(16).padStart(HEX_LENGTH, "0"), "latin1"),
          MAGIC,
        ];
  return Buffer.concat([GZIP_HEADER, GZIP_OS_UNKNOWN, ...extra, GZIP_EMPTY_TAIL]);
}

function endsLike(bytes: Buffer, available: number, footerSize: number, extra: Buffer): boolean {
  if (available < footerSize) return false;
  const start = bytes.length - footerSize;
  return (
    bytes.subarray(start, start + GZIP_HEADER.length).equals(GZIP_HEADER) &&
    bytes.subarray(start + EXTRA_AT, start + EXTRA_AT + extra.length).equals(extra)
  );
}

function checkTail(bytes: Buffer): void {
  if (!bytes.subarray(bytes.length - GZIP_EMPTY_TAIL.length).equals(GZIP_EMPTY_TAIL)) {
    throw malformedFooter("it does not end with an empty gzip stream");
  }
}

function parseOffset(hex: string, end: number): number {
  if (!/^[0-9a-f]{16}$/.test(hex)) {
    throw invalidArgument(
      `Cannot read eStargz footer: want 16 lower-case hex digits, got ${JSON.stringify(hex)}`,
      {
        reason: "footer-offset-malformed",
      },
    );
  }
  const offset = BigInt(`0x${hex}`);
  if (offset >= BigInt(end)) {
    throw invalidArgument(`Cannot read eStargz footer: want a TOC offset below ${end}, got ${offset}`, {
      reason: "footer-offset-out-of-range",
    });
  }
  return Number(offset);
}

function malformedFooter(problem: string): LazuliError {
  return invalidArgument(`Cannot read eStargz footer: ${problem}`, { reason: "footer-malformed" });
}

function notEstargz(bytes: Buffer, available: number): LazuliError {
  const end = bytes.subarray(bytes.length - 8);
  if (available >= 40 && ZSTD_CHUNKED_MAGICS.some((magic) => magic.equals(end))) {
    return unimplemented("Cannot read zstd:chunked layer lazily: want eStargz", { reason: "zstd-chunked" });
  }
  return failedPrecondition("Cannot read layer lazily: its last bytes are no eStargz footer", {
    reason: "not-estargz",
    hint: "Convert the image with `ctr-remote images convert --estargz --oci`",
  });
}
