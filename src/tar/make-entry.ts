import type { ByteString } from "../bytes/index.js";
import type { Xattr } from "../tree/index.js";
import type { TarEntry, TarKind } from "./entry.js";
import type { HeaderBlock } from "./header-block.js";
import { BLOCK_BYTES, DATA_BYTES_MAX } from "./limits.js";
import { type NumberPlace, paxTime, safeDecimal } from "./numbers.js";
import type { PaxRecords } from "./pax-records.js";
import { refuseTar, refuseTarSize } from "./refusal.js";

/** What stands before a header and changes what it says. */
export interface Extensions {
  /** Of the last PAX header. */
  readonly pax: PaxRecords | undefined;
  /** Of GNU's "L" and "K"; they win over PAX. */
  readonly longName: ByteString;
  readonly longLink: ByteString;
}

const SCHILY = "SCHILY.xattr.";
const LIBARCHIVE = "LIBARCHIVE.xattr.";
const NO_XATTRS: readonly Xattr[] = [];

const kinds: Readonly<Record<string, TarKind>> = {
  "0": "file",
  "\0": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  g: "global",
};

/** Types 1 to 6 have no contents, whatever their size says. */
export function isHeaderOnly(typeFlag: string): boolean {
  return typeFlag >= "1" && typeFlag <= "6";
}

/**
 * The entry that a header at `offset` and its extensions make. As long as nobody knows of a sparse file's map, it is one
 * whose contents lie behind the header as they are.
 * @throws INVALID_ARGUMENT `tar-number`, `tar-time`, `tar-size`; RESOURCE_EXHAUSTED `tar-file-too-large`
 */
export function makeEntry(
  block: HeaderBlock,
  extensions: Extensions,
  place: { readonly headerOffset: number; readonly offset: number },
): TarEntry {
  const { pax } = extensions;
  const { offset } = place;
  const text = (key: string, otherwise: ByteString): ByteString => pax?.get(key as ByteString) || otherwise;
  const placeOf = (field: string): NumberPlace => ({ field, offset });
  const number = (key: string, otherwise: number): number => {
    const value = pax?.get(key as ByteString);
    return value ? safeDecimal(value, placeOf(key)) : otherwise;
  };
  const name = extensions.longName || text("path", block.name);
  const linkName = extensions.longLink || text("linkpath", block.linkName);
  const typeFlag = block.typeFlag === "\0" && name.endsWith("/") ? "5" : block.typeFlag;
  const mtime = pax?.get("mtime" as ByteString);
  for (const key of ["atime", "ctime"]) {
    const value = pax?.get(key as ByteString);
    // Nobody needs these, but an archive that has them wrong is refused by Go, too.
    if (value) paxTime(value, placeOf(key));
  }
  const size = number("size", block.size);
  const packedSize = isHeaderOnly(typeFlag) ? 0 : checkedSize(size, offset);
  return {
    kind: kinds[typeFlag] ?? "other",
    typeFlag,
    name,
    linkName,
    mode: block.mode,
    uid: number("uid", block.uid),
    gid: number("gid", block.gid),
    userName: text("uname", block.userName),
    groupName: text("gname", block.groupName),
    mtime: mtime ? paxTime(mtime, placeOf("mtime")) : { seconds: block.mtimeSeconds, nanoseconds: 0 },
    xattrs: pax === undefined ? NO_XATTRS : schilyXattrs(pax),
    libarchiveXattrs: pax === undefined ? NO_XATTRS : libarchiveXattrs(pax, offset),
    devMajor: block.devMajor,
    devMinor: block.devMinor,
    size: packedSize,
    headerOffset: place.headerOffset,
    dataOffset: offset + BLOCK_BYTES,
    packedSize,
    sparse: undefined,
  };
}

/** @throws INVALID_ARGUMENT `tar-size`, RESOURCE_EXHAUSTED `tar-file-too-large` */
export function checkedSize(size: number, offset: number): number {
  if (size < 0) throw refuseTar("tar-size", `a size is negative: ${size}`, offset);
  if (size > DATA_BYTES_MAX) {
    throw refuseTarSize("tar-file-too-large", `want at most ${DATA_BYTES_MAX} bytes, got ${size}`, offset);
  }
  return size;
}

function schilyXattrs(pax: PaxRecords): readonly Xattr[] {
  const xattrs: Xattr[] = [];
  for (const [key, value] of pax) {
    if (!key.startsWith(SCHILY)) continue;
    xattrs.push({ name: key.slice(SCHILY.length) as ByteString, value: Buffer.from(value, "latin1") });
  }
  return xattrs.length === 0 ? NO_XATTRS : xattrs;
}

const base64Shape = /^[A-Za-z0-9+/]*={0,2}$/;

/** Names with %XX for bytes that libarchive takes for unsafe, values in base64. */
function libarchiveXattrs(pax: PaxRecords, offset: number): readonly Xattr[] {
  const xattrs: Xattr[] = [];
  for (const [key, value] of pax) {
    if (!key.startsWith(LIBARCHIVE)) continue;
    if (!base64Shape.test(value)) throw refuseTar("tar-xattr", "the value of an xattr is not base64", offset);
    const name = key
      .slice(LIBARCHIVE.length)
      .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    xattrs.push({ name: name as ByteString, value: Buffer.from(value, "base64") });
  }
  return xattrs.length === 0 ? NO_XATTRS : xattrs;
}
