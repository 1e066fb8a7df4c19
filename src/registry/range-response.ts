import { dataLoss, failedPrecondition, type LazuliError } from "../errors/index.js";
import { checkContentRange, parseContentRange, type WantedRange } from "./content-range.js";
import type { Exchange } from "./exchange.js";
import { statusFailure } from "./failures.js";
import { DISCARD_BYTES_MAX } from "./limits.js";
import { multipartBoundary, multipartBytes } from "./multipart.js";

/** The header that asks for a range, both ends included. */
export function rangeHeader(offset: number, length: number): string {
  return `bytes=${offset}-${offset + length - 1}`;
}

/** A blob is what its digest says: an encoding on top of it would be other bytes. @throws FAILED_PRECONDITION */
export function refuseEncoding(exchange: Exchange, subject: string): void {
  const encoding = exchange.header("content-encoding");
  if (encoding === undefined || encoding.trim() === "" || encoding.trim().toLowerCase() === "identity")
    return;
  throw failedPrecondition(
    `Cannot read "${subject}" from ${exchange.host}: want no content encoding, got "${exchange.withoutSecrets(encoding).slice(0, 40)}"`,
    { subject, reason: "content-encoding" },
  );
}

/**
 * The wanted bytes out of an answer to a range request, at most `length` of them; fewer when the server sends fewer.
 * @throws a typed error when the answer is something else
 */
export function rangeBytes(exchange: Exchange, wanted: WantedRange): AsyncIterable<Buffer> {
  const { subject, host } = wanted;
  const { status } = exchange;
  if (status !== 200 && status !== 206) throw statusFailure({ status, host, subject });
  refuseEncoding(exchange, subject);
  if (status === 200) {
    checkWhole(exchange, wanted);
    return window(exchange.pieces(), { skip: wanted.offset, take: wanted.length });
  }
  const boundary = multipartBoundary(exchange.header("content-type"));
  if (boundary !== undefined) return multipartBytes(exchange.pieces(), { boundary, wanted });
  const length = checkContentRange(parseContentRange(exchange.header("content-range")), wanted);
  return window(exchange.pieces(), { skip: 0, take: length });
}

function checkWhole(exchange: Exchange, wanted: WantedRange): void {
  const { subject, host, size, offset } = wanted;
  if (/^text\/html\b/i.test(exchange.header("content-type") ?? "")) {
    throw dataLoss(`Cannot read "${subject}" from ${host}: want a blob, got a web page`, {
      subject,
      reason: "not-a-blob",
      hint: `A proxy or login page may stand in front of ${host}`,
    });
  }
  const { contentLength } = exchange;
  if (contentLength !== undefined && contentLength !== size) {
    throw dataLoss(`Cannot read "${subject}" from ${host}: want ${size} bytes, got ${contentLength}`, {
      subject,
      reason: "blob-size-wrong",
    });
  }
  if (offset > DISCARD_BYTES_MAX) throw rangesUnsupported(wanted);
}

export function rangesUnsupported(wanted: WantedRange): LazuliError {
  return failedPrecondition(
    `Cannot read "${wanted.subject}" from ${wanted.host}: want byte ranges, got only whole blobs`,
    {
      subject: wanted.subject,
      reason: "ranges-unsupported",
      hint: "Pull this image without the lazy snapshotter or use a mirror that knows ranges",
    },
  );
}

async function* window(
  pieces: AsyncIterable<Buffer>,
  options: { skip: number; take: number },
): AsyncGenerator<Buffer, void, undefined> {
  let { skip, take } = options;
  for await (const piece of pieces) {
    const wanted = piece.subarray(Math.min(skip, piece.length)).subarray(0, take);
    skip = Math.max(0, skip - piece.length);
    take -= wanted.length;
    if (wanted.length > 0) yield wanted;
    if (take === 0) return;
  }
}
