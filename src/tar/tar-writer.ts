import { type ByteString, bufferOfBytes, compareBytes } from "../bytes/index.js";
import { assert, invalidArgument } from "../errors/index.js";
import type { FileTime, Xattr } from "../tree/index.js";
import { BLOCK_BYTES } from "./limits.js";
import { shown } from "./refusal.js";

/** One entry to write; names without a slash at the end, which directories get. */
export interface TarWriteEntry {
  readonly kind: "file" | "directory" | "symlink" | "hardlink" | "character" | "block" | "fifo";
  readonly name: ByteString;
  /** Of symbolic and hard links. */
  readonly linkName?: ByteString;
  /** 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName?: ByteString;
  readonly groupName?: ByteString;
  readonly mtime: FileTime;
  readonly xattrs?: readonly Xattr[];
  /** Of character and block devices. */
  readonly devMajor?: number;
  readonly devMinor?: number;
  /** Of files. */
  readonly size?: number;
}

const typeFlags = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
} as const;

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const USER_BYTES = 31;
/** Octal digits in the fields of 8 and of 12 bytes. */
const OCTAL_7 = 8 ** 7;
const OCTAL_11 = 8 ** 11;
const DEVICE_MAX = OCTAL_7 - 1;
/** Name of all extension headers: an unpacker that knows none of them shows one file. */
const PAX_NAME = "PaxHeaders/entry" as ByteString;

/**
 * Writes an archive: ustar headers, with a PAX header before each that ustar has no room for. The same entries give the
 * same bytes. The caller writes what the calls return, and a file's contents between header() and padding().
 *
 *     write(writer.header(entry)); write(contents); write(writer.padding()); … write(writer.end());
 */
export class TarWriter {
  #left = 0;
  #padding = 0;
  #offset = 0;

  /** Bytes of the archive so far, the contents of the last file included. */
  get offset(): number {
    return this.#offset;
  }

  /** @throws INVALID_ARGUMENT `tar-unwritable` for what no header can hold */
  header(entry: TarWriteEntry): Buffer {
    assert(this.#left === 0 && this.#padding === 0, "a file is padded before the next header");
    const size = entry.kind === "file" ? (entry.size ?? 0) : 0;
    assert(Number.isSafeInteger(size) && size >= 0, "a size is a whole number");
    const bytes = headerBytes(entry, size);
    this.#left = size;
    this.#padding = padded(size) - size;
    this.#offset += bytes.length;
    return bytes;
  }

  /** Counts contents of the last file. */
  content(length: number): void {
    assert(length <= this.#left, "a file has no more bytes than its header says");
    this.#left -= length;
    this.#offset += length;
  }

  /** What follows the contents of a file. */
  padding(): Buffer {
    assert(this.#left === 0, "a file has all bytes that its header says");
    const bytes = Buffer.alloc(this.#padding);
    this.#padding = 0;
    this.#offset += bytes.length;
    return bytes;
  }

  /** The two blocks of zeros behind the last entry. */
  end(): Buffer {
    assert(this.#left === 0 && this.#padding === 0, "a file is padded before the end");
    this.#offset += 2 * BLOCK_BYTES;
    return Buffer.alloc(2 * BLOCK_BYTES);
  }
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

function headerBytes(entry: TarWriteEntry, size: number): Buffer {
  checkEntry(entry);
  const name = (entry.kind === "directory" ? `${entry.name}/` : entry.name) as ByteString;
  const linkName = (entry.linkName ?? "") as ByteString;
  const records = paxRecords({ entry, name, linkName, size });
  const header = ustarBlock({ ...entry, name, linkName, size, typeFlag: typeFlags[entry.kind] });
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const extension = ustarBlock({
    name: PAX_NAME,
    linkName: "" as ByteString,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0n, nanoseconds: 0 },
    size: body.length,
    typeFlag: "x",
  });
  return Buffer.concat([extension, body, Buffer.alloc(padded(body.length) - body.length), header]);
}

function checkEntry(entry: TarWriteEntry): void {
  const problem = (what: string): Error =>
    invalidArgument(`Cannot write tar entry ${shown(entry.name)}: ${what}`, { reason: "tar-unwritable" });
  for (const text of [entry.name, entry.linkName ?? "", entry.userName ?? "", entry.groupName ?? ""]) {
    if (text.includes("\0")) throw problem("a name has a NUL");
  }
  if (entry.name === "" || entry.name.endsWith("/")) throw problem("want a name without a slash at its end");
  if ((entry.kind === "symlink" || entry.kind === "hardlink") && !entry.linkName)
    throw problem("want a target");
  for (const number of [entry.devMajor ?? 0, entry.devMinor ?? 0]) {
    if (!(number >= 0 && number <= DEVICE_MAX)) throw problem(`want a device number, got ${number}`);
  }
  for (const number of [entry.uid, entry.gid]) {
    if (!Number.isSafeInteger(number) || number < 0) throw problem(`want an owner, got ${number}`);
  }
  const names = (entry.xattrs ?? []).map((xattr) => xattr.name);
  if (names.some((name) => name === "" || name.includes("\0") || name.includes("="))) {
    throw problem("the name of an xattr is empty or has a NUL or =");
  }
  if (new Set(names).size < names.length) throw problem("an xattr comes twice");
}

interface PaxSource {
  readonly entry: TarWriteEntry;
  readonly name: ByteString;
  readonly linkName: ByteString;
  readonly size: number;
}

/** What ustar has no room for, sorted by key. */
function paxRecords({ entry, name, linkName, size }: PaxSource): Buffer[] {
  const records = new Map<string, Buffer>();
  const text = (key: string, value: ByteString, fits: boolean): void => {
    if (!fits || !isAscii(value)) records.set(key, bufferOfBytes(value));
  };
  text("path", name, splitName(name) !== undefined);
  text("linkpath", linkName, linkName.length <= NAME_BYTES);
  const { userName = "" as ByteString, groupName = "" as ByteString } = entry;
  text("uname", userName, userName.length <= USER_BYTES);
  text("gname", groupName, groupName.length <= USER_BYTES);
  if (entry.uid >= OCTAL_7) records.set("uid", Buffer.from(String(entry.uid)));
  if (entry.gid >= OCTAL_7) records.set("gid", Buffer.from(String(entry.gid)));
  if (size >= OCTAL_11) records.set("size", Buffer.from(String(size)));
  const { seconds, nanoseconds } = entry.mtime;
  if (nanoseconds !== 0 || seconds < 0n || seconds >= BigInt(OCTAL_11)) {
    records.set("mtime", Buffer.from(paxTimeText(entry.mtime)));
  }
  for (const xattr of entry.xattrs ?? []) records.set(`SCHILY.xattr.${xattr.name}`, xattr.value);
  const sorted = [...records].sort(([left], [right]) =>
    compareBytes(left as ByteString, right as ByteString),
  );
  return sorted.map(([key, value]) => paxRecord(key as ByteString, value));
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: ByteString, value: Buffer): Buffer {
  const rest = Buffer.concat([bufferOfBytes(` ${key}=` as ByteString), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function paxTimeText({ seconds, nanoseconds }: FileTime): string {
  // Minus half a second is kept as second -1 and half a second, and written as "-0.5".
  const isNegative = seconds < 0n && nanoseconds > 0;
  const whole = isNegative ? -seconds - 1n : seconds;
  const rest = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds;
  const fraction = rest === 0 ? "" : `.${String(rest).padStart(9, "0").replace(/0+$/, "")}`;
  return `${isNegative ? "-" : ""}${whole}${fraction}`;
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

/** As ustar has a long name: cut at a slash. Undefined if it has no room for it. */
function splitName(name: ByteString): { readonly prefix: string; readonly rest: string } | undefined {
  if (name.length <= NAME_BYTES) return { prefix: "", rest: name };
  const slash = name.lastIndexOf("/", Math.min(PREFIX_BYTES, name.length - 2));
  const rest = name.slice(slash + 1);
  return slash <= 0 || rest.length > NAME_BYTES ? undefined : { prefix: name.slice(0, slash), rest };
}

function ustarBlock(
  entry: Omit<TarWriteEntry, "kind" | "size"> & { readonly size: number; readonly typeFlag: string },
): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const text = (value: string, at: number, length: number): void => {
    if (value.length <= length) block.write(value, at, "latin1");
  };
  const octal = (value: number, at: number, digits: number): void => {
    text(value.toString(8).padStart(digits, "0"), at, digits);
  };
  const { prefix, rest } = splitName(entry.name) ?? { prefix: "", rest: entry.name.slice(0, NAME_BYTES) };
  text(rest, 0, NAME_BYTES);
  text(prefix, 345, PREFIX_BYTES);
  octal(entry.mode, 100, 7);
  octal(entry.uid < OCTAL_7 ? entry.uid : 0, 108, 7);
  octal(entry.gid < OCTAL_7 ? entry.gid : 0, 116, 7);
  // A reader that passes over PAX must find the next header in the same place.
  if (entry.size < OCTAL_11) octal(entry.size, 124, 11);
  else base256(block, entry.size);
  const { seconds } = entry.mtime;
  octal(seconds >= 0n && seconds < BigInt(OCTAL_11) ? Number(seconds) : 0, 136, 11);
  text(entry.typeFlag, 156, 1);
  text(entry.linkName ?? "", 157, NAME_BYTES);
  text("ustar\x0000", 257, 8);
  text(entry.userName ?? "", 265, USER_BYTES);
  text(entry.groupName ?? "", 297, USER_BYTES);
  octal(entry.devMajor ?? 0, 329, 7);
  octal(entry.devMinor ?? 0, 337, 7);
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  text(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}

function base256(block: Buffer, size: number): void {
  block.writeBigUInt64BE(BigInt(size), 128);
  block[124] = 0x80;
}
