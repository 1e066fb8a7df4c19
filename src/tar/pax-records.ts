import { type ByteString, bytesOfBuffer } from "../bytes/index.js";
import { refuseTar, shown } from "./refusal.js";

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;
const ZERO = 0x30;
/** The shortest record is "5 k=\n"; Go wants five, too. */
const RECORD_BYTES_MIN = 5;
/** The length of a record can't be longer than that of the whole header, which has at most 7 digits. */
const LENGTH_DIGITS_MAX = 20;

const textKeys = new Set(["path", "linkpath", "uname", "gname"]);

export const SPARSE_MAP = "GNU.sparse.map" as ByteString;
const SPARSE_OFFSET = "GNU.sparse.offset";
const SPARSE_LENGTH = "GNU.sparse.numbytes";

/** Records of a PAX header by their key; of several with one key the last one counts. */
export type PaxRecords = ReadonlyMap<ByteString, ByteString>;

/**
 * Reads the contents of a PAX header. GNU's sparse format 0.0, which repeats two keys for every region, becomes 0.1,
 * which has one list of all.
 * @throws INVALID_ARGUMENT `tar-pax` for all that is not exactly a list of records
 */
export function parsePax(bytes: Buffer, offset: number): PaxRecords {
  const records = new Map<ByteString, ByteString>();
  const sparse: ByteString[] = [];
  for (let at = 0; at < bytes.length; ) {
    const problem = (what: string): Error =>
      refuseTar("tar-pax", `record at byte ${at} of a PAX header: ${what}`, offset);
    const end = at + recordLength(bytes, at, problem);
    let equals = bytes.indexOf(SPACE, at) + 1;
    const keyStart = equals;
    while (equals < end - 1 && bytes[equals] !== EQUALS) equals += 1;
    if (bytes[end - 1] !== NEWLINE) throw problem("it does not end with a newline");
    if (equals >= end - 1) throw problem("it has no =");
    const key = bytesOfBuffer(bytes.subarray(keyStart, equals));
    const value = bytesOfBuffer(bytes.subarray(equals + 1, end - 1));
    if (key === "" || key.includes("\0")) throw problem(`the key ${shown(key)} is malformed`);
    if (textKeys.has(key) && value.includes("\0")) throw problem(`the value of ${key} has a NUL`);
    if (key === SPARSE_OFFSET || key === SPARSE_LENGTH) {
      const isOffset = sparse.length % 2 === 0;
      if (isOffset !== (key === SPARSE_OFFSET) || value.includes(","))
        throw problem("a sparse map is malformed");
      sparse.push(value);
    } else {
      records.set(key, value);
    }
    at = end;
  }
  if (sparse.length > 0) records.set(SPARSE_MAP, sparse.join(",") as ByteString);
  return records;
}

function recordLength(bytes: Buffer, at: number, problem: (what: string) => Error): number {
  let length = 0;
  let place = at;
  while (place < bytes.length && place - at <= LENGTH_DIGITS_MAX && bytes[place] !== SPACE) {
    const digit = bytes[place]! - ZERO;
    if (digit < 0 || digit > 9) throw problem("its length is no number");
    length = length * 10 + digit;
    place += 1;
  }
  if (place === at || bytes[place] !== SPACE) throw problem("it has no length");
  if (length < RECORD_BYTES_MIN || length > bytes.length - at) throw problem(`its length ${length} is wrong`);
  // The length counts itself and its space: at least the newline comes behind them.
  if (length <= place + 1 - at) throw problem(`its length ${length} is wrong`);
  return length;
}
