import { type ByteString, compareBytes } from "../bytes/index.js";
import { invalidArgument, resourceExhausted, unimplemented } from "../errors/index.js";
import type { Xattr } from "../tree/index.js";
import { shown } from "./check-node.js";

const HEADER_SIZE = 12;
const WORD_SIZE = 4;
const VALUE_SIZE_MAX = 65_535;
/** XATTR_NAME_MAX of Linux, with the prefix. */
const NAME_LENGTH_MAX = 255;
/** The inode counts the bytes of all its attributes in 16 bits, in words of 4 bytes, one of which is the header. */
const BODY_SIZE_MAX = HEADER_SIZE + 65_534 * WORD_SIZE;

/** Prefixes by their number on disk; the two lists of POSIX ACLs have no name behind theirs. */
const prefixes: readonly (readonly [string, number])[] = [
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];

/**
 * The attributes of an inode as they stand behind it; undefined without any.
 * @throws UNIMPLEMENTED `xattr-prefix-unknown`, RESOURCE_EXHAUSTED `xattr-too-large`, INVALID_ARGUMENT `xattr-invalid`
 */
export function encodeXattrs(xattrs: readonly Xattr[]): Buffer | undefined {
  if (xattrs.length === 0) return undefined;
  const sorted = [...xattrs].sort((left, right) => compareBytes(left.name, right.name));
  const parts: Buffer[] = [Buffer.alloc(HEADER_SIZE)];
  for (const [index, xattr] of sorted.entries()) {
    if (xattr.name === sorted[index - 1]?.name) throw invalidName(xattr.name, "given twice");
    parts.push(encodeEntry(xattr));
  }
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
export function xattrCount(body: Buffer | undefined): number {
  return body === undefined ? 0 : 1 + (body.length - HEADER_SIZE) / WORD_SIZE;
}

function encodeEntry({ name, value }: Xattr): Buffer {
  if (name.length > NAME_LENGTH_MAX || name.includes("\0")) throw invalidName(name, `${name.length} bytes`);
  if (value.length > VALUE_SIZE_MAX) {
    throw resourceExhausted(
      `Cannot store extended attribute ${shown(name)}: at most ${VALUE_SIZE_MAX} bytes are possible, got ${value.length}`,
      { reason: "xattr-too-large", subject: shown(name) },
    );
  }
  const { index, suffix } = splitName(name);
  const size = WORD_SIZE + suffix.length + value.length;
  const entry = Buffer.alloc(Math.ceil(size / WORD_SIZE) * WORD_SIZE);
  entry.writeUInt8(suffix.length, 0);
  entry.writeUInt8(index, 1);
  entry.writeUInt16LE(value.length, 2);
  entry.write(suffix, WORD_SIZE, "latin1");
  value.copy(entry, WORD_SIZE + suffix.length);
  return entry;
}

function splitName(full: ByteString): { index: number; suffix: string } {
  for (const [prefix, index] of prefixes) {
    const isFamily = prefix.endsWith(".");
    if (isFamily ? full.startsWith(prefix) && full.length > prefix.length : full === prefix) {
      return { index, suffix: full.slice(prefix.length) };
    }
  }
  throw unimplemented(
    `Cannot store extended attribute ${shown(full)}: want user, trusted, security or a POSIX ACL`,
    { reason: "xattr-prefix-unknown", subject: shown(full) },
  );
}

function invalidName(name: ByteString, what: string): Error {
  return invalidArgument(
    `Cannot store extended attribute ${shown(name)}: want 1 to ${NAME_LENGTH_MAX} bytes without zero, each name once, got ${what}`,
    { reason: "xattr-invalid", subject: shown(name) },
  );
}
