import { dataLoss } from "../errors/index.js";
import { checkContentRange, parseContentRange, type WantedRange } from "./content-range.js";
import { MULTIPART_HEADER_BYTES_MAX } from "./limits.js";

/** The boundary of a `multipart/byteranges` content type; undefined for any other. */
export function multipartBoundary(contentType: string | undefined): string | undefined {
  if (contentType === undefined || contentType.length > 1024) return undefined;
  if (!/^multipart\/byteranges\s*;/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s";]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/**
 * Takes the bytes of the only part out of a multipart answer (RFC 9110 14.6). A server may wrap a single range like
 * this; several parts were never asked for and are refused. The last piece is held back until the end boundary was
 * seen. @throws DATA_LOSS
 */
export async function* multipartBytes(
  pieces: AsyncIterable<Buffer>,
  options: { boundary: string; wanted: WantedRange },
): AsyncGenerator<Buffer, void, undefined> {
  const { boundary, wanted } = options;
  const source = pieces[Symbol.asyncIterator]();
  let buffered: Buffer = Buffer.alloc(0);
  const more = async (): Promise<void> => {
    const next = await source.next();
    if (next.done === true) throw multipartWrong(wanted, "an end in the middle");
    buffered = buffered.length === 0 ? next.value : Buffer.concat([buffered, next.value]);
  };
  const headOf = (): number => buffered.indexOf("\r\n\r\n");
  while (headOf() < 0) {
    if (buffered.length > MULTIPART_HEADER_BYTES_MAX) throw multipartWrong(wanted, "endless headers");
    await more();
  }
  const head = buffered.subarray(0, headOf()).toString("latin1");
  buffered = buffered.subarray(headOf() + 4);
  const lines = head.replace(/^(\r\n)+/, "").split("\r\n");
  if (lines[0]?.trimEnd() !== `--${boundary}`) throw multipartWrong(wanted, "another boundary");
  const range = lines.find((line) => /^content-range:/i.test(line))?.slice("content-range:".length);
  const length = checkContentRange(parseContentRange(range), wanted);

  let left = length;
  while (left > buffered.length) {
    left -= buffered.length;
    const piece = buffered;
    buffered = Buffer.alloc(0);
    if (piece.length > 0) yield piece;
    await more();
  }
  const last = buffered.subarray(0, left);
  const end = `\r\n--${boundary}--`;
  buffered = buffered.subarray(left);
  while (buffered.length < end.length) await more();
  if (buffered.subarray(0, end.length).toString("latin1") !== end)
    throw multipartWrong(wanted, "more than one part");
  if (last.length > 0) yield last;
}

function multipartWrong(wanted: WantedRange, actual: string) {
  return dataLoss(`Cannot read the multipart answer of ${wanted.host}: want one part, got ${actual}`, {
    subject: wanted.subject,
    reason: "multipart-wrong",
  });
}
