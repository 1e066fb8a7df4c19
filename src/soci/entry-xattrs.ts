import type { ByteString } from "../bytes/index.js";
import type { Xattr } from "../tree/index.js";
import { XATTR_LIST_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from "./limits.js";
import { refuseZtoc, shown } from "./refusal.js";
import type { ZtocEntry } from "./ztoc.js";

/** The PAX key of an attribute, as GNU tar and Go write it and containerd reads it. */
const XATTR_PREFIX = "SCHILY.xattr.";
/** Keys of a GNU tar whose file is kept without its holes: the bytes at its offset are not those of the file. */
const SPARSE_PREFIX = "GNU.sparse.";

const OPAQUE_MARKER = ".wh..wh..opq";
const NONE: readonly Xattr[] = [];

export function xattrsOf(entry: ZtocEntry, index: number): readonly Xattr[] {
  if (entry.paxRecords.length === 0) return NONE;
  const xattrs: Xattr[] = [];
  let listBytes = 0;
  for (const { key, value } of entry.paxRecords) {
    if (key.startsWith(SPARSE_PREFIX)) throw refuseZtoc("ztoc-sparse", "it is a sparse file", index);
    if (!key.startsWith(XATTR_PREFIX)) continue;
    const name = key.slice(XATTR_PREFIX.length) as ByteString;
    listBytes += name.length + 1;
    if (
      name === "" ||
      name.includes("\0") ||
      name.length > XATTR_NAME_BYTES_MAX ||
      listBytes > XATTR_LIST_BYTES_MAX ||
      value.length > XATTR_VALUE_BYTES_MAX
    ) {
      throw refuseZtoc("ztoc-xattr", `the attribute ${shown(name)} is malformed or too long`, index);
    }
    xattrs.push({ name, value });
  }
  return xattrs;
}

/**
 * True where no file of the layer has an attribute and no directory gets one from an opaque marker: SOCI's
 * `disable-xattrs`, see SociLayer.
 */
export function hasNoXattrs(entries: Iterable<ZtocEntry>): boolean {
  for (const { name, paxRecords } of entries) {
    if (name === OPAQUE_MARKER || name.endsWith(`/${OPAQUE_MARKER}`)) return false;
    if (paxRecords.some(({ key }) => key.startsWith(XATTR_PREFIX))) return false;
  }
  return true;
}
