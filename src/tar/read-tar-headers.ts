import { dataLoss } from "../errors/index.js";
import type { TarEntry } from "./entry.js";
import { type TarNeed, TarParser } from "./tar-parser.js";

const RECORD_HEAD_BYTES = 16;

/**
 * The entries of an archive of which only its headers were kept: records of offset and length (64 bits, little endian)
 * and so many bytes, in the order of their offsets.
 * @throws what TarParser throws, and DATA_LOSS `tar-headers-missing` if something that is needed was not kept
 */
export function* readTarHeaders(options: {
  /** Bytes of the archive. */
  readonly size: number;
  readonly headers: Buffer;
}): Generator<TarEntry, void, undefined> {
  const { size, headers } = options;
  const parser = new TarParser();
  let at = 0;
  for (let need = parser.need; need !== undefined; need = parser.need) {
    if (need.offset + need.length > size) {
      parser.end(size);
      return;
    }
    let bytes = headers.subarray(0, 0);
    if (need.length > 0) {
      bytes = recordAt(headers, at, need);
      at += RECORD_HEAD_BYTES + need.length;
    }
    const entry = parser.step(bytes);
    if (entry !== undefined) yield entry;
  }
}

function recordAt(headers: Buffer, at: number, need: TarNeed): Buffer {
  const start = at + RECORD_HEAD_BYTES;
  const isKept =
    start + need.length <= headers.length &&
    headers.readBigUInt64LE(at) === BigInt(need.offset) &&
    headers.readBigUInt64LE(at + 8) === BigInt(need.length);
  if (isKept) return headers.subarray(start, start + need.length);
  throw dataLoss(`Cannot read tar: want ${need.length} bytes at ${need.offset}, which were not kept`, {
    reason: "tar-headers-missing",
  });
}
