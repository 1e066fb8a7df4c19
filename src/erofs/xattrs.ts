import { type ByteString, bufferOfBytes, textOfBytes } from "../bytes/index.js";
import { resourceExhausted, unimplemented } from "../errors/index.js";
import type { Xattr } from "../tree/index.js";

const HEADER_SIZE = 12;
const ENTRY_SIZE = 4;
const VALUE_SIZE_MAX = 65_535;
const NAME_LENGTH_MAX = 255;
/** The inode counts the bytes of all its attributes in 16 bits, in words of 4 bytes. */
const BODY_SIZE_MAX = 65_535 * 4;

/** Prefixes by their number on disk; the two lists of POSIX ACLs have no name behind theirs. */
const prefixes: readonly (readonly [string, number])[] = [
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];

/** The attributes of an inode as they stand behind it; empty without any. @throws UNIMPLEMENTED, RESOURCE_EXHAUSTED */
export function encodeXattrs(xattrs: readonly Xattr[]): Buffer {
  if (xattrs.length === 0) return Buffer.alloc(0);
  const parts: Buffer[] = [Buffer.alloc(HEADER_SIZE)];
  const sorted = [...xattrs].sort((left, right) => (left.name < right.name ? -1 : 1));
  for (const xattr of sorted) parts.push(encodeEntry(xattr));
  const body = Buffer.concat(parts);
  if (body.length > BODY_SIZE_MAX) {
    throw resourceExhausted(
      `Cannot store the extended attributes of a file: at most ${BODY_SIZE_MAX} bytes are possible, got ${body.length}`,
      { reason: "xattr-too-large" },
    );
  }
  return body;
}

/** What the inode says of its attributes: the words of 4 bytes behind the header, counting one for the header. */
export function xattrCount(body: Buffer): number {
  return body.length === 0 ? 0 : 1 + (body.length - HEADER_SIZE) / 4;
}

function encodeEntry(xattr: Xattr): Buffer {
  const { index, name } = splitName(xattr.name);
  if (xattr.value.length > VALUE_SIZE_MAX || name.length > NAME_LENGTH_MAX) {
    throw resourceExhausted(
      `Cannot store extended attribute "${textOfBytes(xattr.name).slice(0, 80)}": at most ${VALUE_SIZE_MAX} bytes are possible, got ${xattr.value.length}`,
      { reason: "xattr-too-large" },
    );
  }
  const size = ENTRY_SIZE + name.length + xattr.value.length;
  const entry = Buffer.alloc((size + 3) & ~3);
  entry.writeUInt8(name.length, 0);
  entry.writeUInt8(index, 1);
  entry.writeUInt16LE(xattr.value.length, 2);
  name.copy(entry, ENTRY_SIZE);
  xattr.value.copy(entry, ENTRY_SIZE + name.length);
  return entry;
}

function splitName(full: ByteString): { index: number; name: Buffer } {
  for (const [prefix, index] of prefixes) {
    const exact = !prefix.endsWith(".");
    if (exact ? full === prefix : full.startsWith(prefix) && full.length > prefix.length) {
      return { index, name: bufferOfBytes(full.slice(prefix.length) as ByteString) };
    }
  }
  throw unimplemented(`Cannot store extended attribute "${textOfBytes(full).slice(0, 80)}": its prefix is unknown`, {
    reason: "xattr-prefix-unknown",
  });
}
