import { invalidArgument, resourceExhausted } from "../errors/index.js";
import type { TarEntry } from "../tar/index.js";
import { RECORD_BYTES_MAX, TARGET_BYTES_MAX } from "./limits.js";
import { RecordWriter } from "./record-writer.js";

/** As in native/core/layer_entry.h. */
const kinds = {
  file: 0,
  directory: 1,
  symlink: 2,
  hardlink: 3,
  character: 4,
  block: 5,
  fifo: 6,
  global: 7,
  whiteout: 8,
  opaque: 9,
} as const;

const MARKER = ".wh.";
const OPAQUE_MARKER = ".wh..wh..opq";
/** The id -1 means "leave as it is" to a kernel. */
const OWNER_MAX = 2 ** 32 - 2;
const MAJOR_MAX = 2 ** 12 - 1;
const MINOR_MAX = 2 ** 20 - 1;
const NANOSECONDS_MAX = 2n ** 63n - 1n;

/** What an archive's entries make in a folder, for the addon, in their order. */
export class LayerRecords {
  readonly #records = new RecordWriter();

  get bytes(): Buffer {
    return this.#records.bytes;
  }

  /** @throws INVALID_ARGUMENT `tar-entry-type`, `tar-name`, `tar-owner`, `tar-device`, `tar-symlink`, `tar-whiteout` */
  add(entry: TarEntry): void {
    const path = cleaned(entry.name);
    const slash = path.lastIndexOf("/");
    const base = path.slice(slash + 1);
    // containerd leaves the root as it is, and whatever leads there.
    if (base === "") return;
    check(entry);
    if (base.startsWith(MARKER)) this.#marker(entry, { folder: path.slice(0, Math.max(slash, 0)), base });
    else this.#entry(entry, path);
    if (this.#records.length > RECORD_BYTES_MAX) {
      throw resourceExhausted(
        `Cannot unpack a layer: want at most ${RECORD_BYTES_MAX} bytes of names and attributes`,
        { reason: "tar-too-much-metadata" },
      );
    }
  }

  #marker(entry: TarEntry, { folder, base }: { readonly folder: string; readonly base: string }): void {
    if (base === OPAQUE_MARKER) {
      this.#head(entry, { kind: "opaque", name: folder });
    } else {
      const hidden = base.slice(MARKER.length);
      if (hidden === "" || hidden === "." || hidden === "..") {
        throw refused(entry, "tar-whiteout", "it hides no name");
      }
      this.#head(entry, { kind: "whiteout", name: folder === "" ? hidden : `${folder}/${hidden}` });
    }
    this.#records.text("");
    this.#records.word(0);
    this.#records.word(0);
  }

  #entry(entry: TarEntry, name: string): void {
    const { kind, xattrs } = entry;
    if (kind === "other") {
      throw refused(entry, "tar-entry-type", `the type ${JSON.stringify(entry.typeFlag)} is unknown`);
    }
    const records = this.#records;
    this.#head(entry, { kind, name });
    records.text(kind === "hardlink" || kind === "symlink" ? entry.linkName : "");
    records.word(xattrs.length);
    for (const xattr of xattrs) {
      records.text(xattr.name);
      records.text(xattr.value);
    }
    const parts = kind === "file" ? partsOf(entry) : [];
    records.word(parts.length);
    for (const { from, to, length } of parts) {
      records.number64(from);
      records.number64(to);
      records.number64(length);
    }
  }

  #head(entry: TarEntry, made: { readonly kind: keyof typeof kinds; readonly name: string }): void {
    const records = this.#records;
    const time = boundTime(entry.mtime);
    records.byte(kinds[made.kind]);
    for (const word of [entry.mode, entry.uid, entry.gid]) records.word(word);
    for (const word of hasDevice(entry) ? [entry.devMajor, entry.devMinor] : [0, 0]) records.word(word);
    records.number64(time.seconds);
    records.word(time.nanoseconds);
    records.number64(entry.kind === "file" ? entry.size : 0);
    records.text(made.name);
  }
}

/** Without ".", ".." and empty parts, from the root: what Go's filepath.Clean leaves of "..", its join takes away. */
function cleaned(name: string): string {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

function hasDevice({ kind }: TarEntry): boolean {
  return kind === "character" || kind === "block";
}

function check(entry: TarEntry): void {
  for (const id of [entry.uid, entry.gid]) {
    if (!(id >= 0 && id <= OWNER_MAX)) throw refused(entry, "tar-owner", `want an owner, got ${id}`);
  }
  const { devMajor: major, devMinor: minor } = entry;
  if (hasDevice(entry) && !(major >= 0 && major <= MAJOR_MAX && minor >= 0 && minor <= MINOR_MAX)) {
    throw refused(entry, "tar-device", `Linux has no device ${major}:${minor}`);
  }
  if (entry.name.includes("\0") || entry.linkName.includes("\0")) {
    throw refused(entry, "tar-name", "a name has a NUL");
  }
  if (entry.kind === "symlink" && (entry.linkName === "" || entry.linkName.length > TARGET_BYTES_MAX)) {
    throw refused(entry, "tar-symlink", `want a target of 1 to ${TARGET_BYTES_MAX} bytes`);
  }
  if (entry.xattrs.some(({ name }) => name.includes("\0"))) {
    throw refused(entry, "tar-xattr", "the name of an attribute has a NUL");
  }
}

function partsOf(entry: TarEntry): { from: number; to: number; length: number }[] {
  if (entry.sparse === undefined) {
    return entry.size === 0 ? [] : [{ from: entry.dataOffset, to: 0, length: entry.size }];
  }
  let from = entry.dataOffset;
  return entry.sparse.map(({ offset, length }) => {
    const part = { from, to: offset, length };
    from += length;
    return part;
  });
}

/** containerd sets times before 1970, and behind what 64 bits of nanoseconds hold, to 1970. */
function boundTime(time: TarEntry["mtime"]): TarEntry["mtime"] {
  const nanoseconds = time.seconds * 1_000_000_000n + BigInt(time.nanoseconds);
  return time.seconds < 0n || nanoseconds > NANOSECONDS_MAX ? { seconds: 0n, nanoseconds: 0 } : time;
}

function refused(entry: TarEntry, reason: string, why: string): Error {
  const shown = JSON.stringify(entry.name.slice(0, 128));
  return invalidArgument(`Cannot unpack the entry ${shown} at ${entry.headerOffset}: ${why}`, { reason });
}
