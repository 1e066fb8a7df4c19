import type { ByteString } from "../bytes/index.js";
import { type FileTime, parseFileTime, type Xattr } from "../tree/index.js";
import { XATTR_LIST_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from "./limits.js";
import { refuseToc, shown } from "./refusal.js";
import { tocBytes } from "./toc-path.js";

/** One entry as JSON gave it. Absent and null mean the same, as in Go. */
export interface TocEntry {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Its place in the TOC, for messages. */
  readonly index: number;
}

const ID_MAX = 2 ** 32 - 1;
const PERMISSIONS = 0o10000;

export function numberOf(entry: TocEntry, key: string, max: number): number {
  const value = entry.fields[key];
  if (value === undefined || value === null) return 0;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw refuseToc(
      "toc-number",
      `want a whole number from 0 to ${max} for ${key}, got ${shown(String(value))}`,
      entry.index,
    );
  }
  // Turns -0 into 0.
  return value + 0;
}

export function textOf(entry: TocEntry, key: string): string {
  const value = entry.fields[key];
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") {
    throw refuseToc("toc-entry-malformed", `want a text for ${key}, got a ${typeof value}`, entry.index);
  }
  return value;
}

/** What every inode has. */
export interface InodeFields {
  mode: number;
  uid: number;
  gid: number;
  mtime: FileTime;
  xattrs: readonly Xattr[];
}

/** Reads what every inode has; one object a TOC, as it remembers the last time it parsed. */
export class InodeReader {
  #lastText = "";
  #lastTime: FileTime = { seconds: 0n, nanoseconds: 0 };

  read(entry: TocEntry): InodeFields {
    return {
      mode: numberOf(entry, "mode", Number.MAX_SAFE_INTEGER) % PERMISSIONS,
      uid: numberOf(entry, "uid", ID_MAX),
      gid: numberOf(entry, "gid", ID_MAX),
      mtime: this.#time(entry),
      xattrs: xattrsOf(entry),
    };
  }

  #time(entry: TocEntry): FileTime {
    const text = textOf(entry, "modtime");
    if (text !== this.#lastText) {
      this.#lastTime = parseTime(text, entry.index);
      this.#lastText = text;
    }
    return this.#lastTime;
  }
}

const EPOCH: FileTime = { seconds: 0n, nanoseconds: 0 };

/** RFC 3339; no text is the epoch, as writers leave out times that they don't have. */
export function parseTime(text: string, entry: number): FileTime {
  const time = text === "" ? EPOCH : parseFileTime(text);
  if (time === undefined) {
    throw refuseToc("toc-time", `want RFC 3339 for modtime, got ${shown(text)}`, entry);
  }
  return time;
}

const NO_XATTRS: readonly Xattr[] = [];
const base64Shape = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function xattrsOf(entry: TocEntry): readonly Xattr[] {
  const value = entry.fields.xattrs;
  if (value === undefined || value === null) return NO_XATTRS;
  const problem = (what: string): Error => refuseToc("toc-xattr", what, entry.index);
  if (typeof value !== "object" || Array.isArray(value)) throw problem("want an object for xattrs");
  const xattrs: Xattr[] = [];
  let listBytes = 0;
  for (const [name, encoded] of Object.entries(value)) {
    if (name.length > XATTR_NAME_BYTES_MAX) throw problem("the name of an xattr is too long");
    const bytes: ByteString = tocBytes(name, entry.index);
    listBytes += bytes.length + 1;
    if (bytes.length === 0 || bytes.length > XATTR_NAME_BYTES_MAX || listBytes > XATTR_LIST_BYTES_MAX) {
      throw problem(`the name of an xattr is malformed or too long: ${shown(name)}`);
    }
    xattrs.push({ name: bytes, value: decoded(encoded, problem) });
  }
  return xattrs;
}

function decoded(encoded: unknown, problem: (what: string) => Error): Buffer {
  // Go writes an empty value as null or "".
  if (encoded === null) return Buffer.alloc(0);
  if (typeof encoded !== "string") throw problem("the value of an xattr is no text");
  if (encoded.length > Math.ceil(XATTR_VALUE_BYTES_MAX / 3) * 4 || !base64Shape.test(encoded)) {
    throw problem("the value of an xattr is not base64 or too long");
  }
  const value = Buffer.from(encoded, "base64");
  if (value.length > XATTR_VALUE_BYTES_MAX) throw problem("the value of an xattr is too long");
  return value;
}

/** The target of a symbolic link, byte for byte. */
export function symlinkTarget(entry: TocEntry): ByteString {
  const target = tocBytes(textOf(entry, "linkName"), entry.index);
  if (target.length < 1 || target.length > 4095) {
    throw refuseToc("toc-symlink", `want 1 to 4095 bytes for linkName, got ${target.length}`, entry.index);
  }
  return target;
}
