import type { ByteString } from "../bytes/index.js";
import type { Nanoseconds } from "../content/index.js";
import { type GoHeader, goHeader } from "./go-header.js";
import type { Change } from "./read-changes.js";
import { RecordWriter } from "./record-writer.js";

const TYPE_MASK = 0o170000;
const SOCKET = 0o140000;
/** By stat(2)'s type: the type flag of a header. */
const typeFlags: Readonly<Record<number, GoHeader["typeFlag"]>> = {
  [0o100000]: "0",
  [0o120000]: "2",
  [0o020000]: "3",
  [0o060000]: "4",
  [0o040000]: "5",
  [0o010000]: "6",
};
const MARKER = ".wh.";
const NANOSECONDS = 1_000_000_000n;
const NOTHING = "" as ByteString;
const NO_BYTES = Buffer.alloc(0);
/** The two blocks of zeros behind the last entry. */
const END_BYTES = 1024;

export interface ChangeWriterOptions {
  /** Of what was deleted. */
  readonly whiteoutTime: Nanoseconds;
  /** No time is later. */
  readonly timeMax: Nanoseconds | undefined;
}

/**
 * Makes the archive of a layer out of changes, as containerd's archive.ChangeWriter: times are cut to seconds, sockets
 * left out, `security.capability` is the only attribute that is kept, and unchanged folders stand before what changed in
 * them. Links of an inode that did not change come with the first of its names that did.
 */
export class ChangeWriter {
  readonly #options: ChangeWriterOptions;
  readonly #records = new RecordWriter();
  /** Folders on the way that no change has brought yet. */
  readonly #passed = new Map<string, Change>();
  readonly #added = new Set<string>();
  /** By the inode: the name that has its content. */
  readonly #sources = new Map<string, ByteString>();
  readonly #waiting = new Map<string, Change[]>();

  constructor(options: ChangeWriterOptions) {
    this.#options = options;
  }

  /** For the addon's assembleArchive(). */
  end(): Buffer {
    this.#put(Buffer.alloc(END_BYTES));
    return this.#records.bytes;
  }

  add(change: Change): void {
    if (change.kind === "passed") this.#passed.set(change.path, change);
    else if (change.kind === "deleted") this.#whiteout(change.path);
    else this.#write(change);
  }

  #whiteout(path: ByteString): void {
    const slash = path.lastIndexOf("/") + 1;
    const { whiteoutTime } = this.#options;
    this.#parents(path);
    const header: GoHeader = {
      typeFlag: "0",
      name: `${path.slice(0, slash)}${MARKER}${path.slice(slash)}` as ByteString,
      linkName: NOTHING,
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: (whiteoutTime + NANOSECONDS / 2n) / NANOSECONDS,
      devMajor: 0,
      devMinor: 0,
      capability: NO_BYTES,
    };
    this.#put(goHeader(header));
  }

  #write(change: Change): void {
    const { path, inode, mode } = change;
    if ((mode & TYPE_MASK) === SOCKET) return;
    const header = this.#headerOf(change);
    const isLinked = change.links > 1 && header.typeFlag !== "5";
    const source = isLinked ? this.#sources.get(inode) : undefined;
    if (source !== undefined) {
      this.#link(change, source);
      return;
    }
    if (change.kind === "linked") {
      const others = this.#waiting.get(inode) ?? [];
      this.#waiting.set(inode, [...others, change]);
      return;
    }
    this.#parents(path);
    this.#put(goHeader(header), header.typeFlag === "0" && header.size > 0 ? change : undefined);
    if (header.typeFlag === "5") this.#added.add(path);
    if (!isLinked) return;
    this.#sources.set(inode, path);
    for (const other of this.#waiting.get(inode) ?? []) this.#link({ ...other, ...factsOf(change) }, path);
    this.#waiting.delete(inode);
  }

  #link(change: Change, source: ByteString): void {
    this.#parents(change.path);
    this.#put(goHeader({ ...this.#headerOf(change), typeFlag: "1", linkName: source, size: 0 }));
  }

  /** Outermost first. */
  #parents(path: ByteString): void {
    const slash = path.lastIndexOf("/");
    if (slash <= 0) return;
    const parent = path.slice(0, slash) as ByteString;
    if (this.#added.has(parent)) return;
    this.#added.add(parent);
    this.#parents(parent);
    const change = this.#passed.get(parent);
    if (change !== undefined) this.#put(goHeader(this.#headerOf(change)));
  }

  #headerOf(change: Change): GoHeader {
    const { mode, path } = change;
    const typeFlag = typeFlags[mode & TYPE_MASK] ?? "0";
    const isDevice = typeFlag === "3" || typeFlag === "4";
    return {
      typeFlag,
      name: (typeFlag === "5" ? `${path}/` : path) as ByteString,
      linkName: change.target,
      mode: mode & 0o7777,
      uid: change.uid,
      gid: change.gid,
      size: typeFlag === "0" ? change.size : 0,
      mtime: this.#timeOf(change),
      devMajor: isDevice ? change.devMajor : 0,
      devMinor: isDevice ? change.devMinor : 0,
      capability: change.capability,
    };
  }

  #timeOf({ mtime }: Change): bigint {
    const { timeMax } = this.#options;
    if (timeMax === undefined) return mtime.seconds;
    const isLater = mtime.seconds * NANOSECONDS + BigInt(mtime.nanoseconds) > timeMax;
    return isLater ? timeMax / NANOSECONDS : mtime.seconds;
  }

  #put(bytes: Buffer, content?: Change): void {
    this.#records.text(bytes);
    this.#records.text(content?.path ?? "");
    this.#records.number64(content?.size ?? 0);
  }
}

/** All names of an inode have its facts as they were when its content was written. */
function factsOf({ mode, uid, gid, size, mtime, capability }: Change): Partial<Change> {
  return { mode, uid, gid, size, mtime, capability };
}
