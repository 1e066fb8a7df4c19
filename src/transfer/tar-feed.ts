import { createHash } from "node:crypto";
import { type ByteString, bytesOfText, type Digest, textOfBytes } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { WrittenEntry } from "../estargz/index.js";
import { type TarEntry, TarWriter } from "../tar/index.js";
import { Crc64, type TarSplitWriter } from "../zstdchunked/index.js";
import { entryPath } from "./entry-path.js";
import { SparseContent } from "./sparse-content.js";
import type { StreamCutter } from "./stream-cutter.js";
import type { TarPiece } from "./tar-pieces.js";

export const landmarks = { prefetch: ".prefetch.landmark", noPrefetch: ".no.prefetch.landmark" } as const;
const reservedNames: readonly string[] = ["stargz.index.json", ...Object.values(landmarks)];
/** What stargz-snapshotter has in a landmark. */
const LANDMARK_CONTENT = Buffer.from([0x0f]);
const BLOCK_BYTES = 512;

/**
 * `exact`: every byte of the tar stays, and what would not fit in is refused. `faithful`: every byte stays but those of
 * entries that don't fit in. `rebuilt`: contents are padded anew, entries may change places, and the end is left out.
 */
export type FeedMode = "exact" | "faithful" | "rebuilt";

const types: Readonly<Partial<Record<TarEntry["kind"], WrittenEntry["type"]>>> = {
  file: "reg",
  directory: "dir",
  symlink: "symlink",
  hardlink: "hardlink",
  character: "char",
  block: "block",
  fifo: "fifo",
};

/** Takes the pieces of a layer's tar, changes what has to change, and hands them to the cutter. */
export class TarFeed {
  readonly #cutter: StreamCutter;
  readonly #tarSplit: TarSplitWriter | undefined;
  readonly #mode: FeedMode;
  readonly #hash = createHash("sha256");
  #size = 0;
  #state: "kept" | "rewritten" | "dropped" = "kept";
  #sparse: SparseContent | undefined;
  #contentLeft = 0;
  #contentSize = 0;
  /** For the tar-split: what stands between two contents. */
  #segment: Buffer[] = [];
  #crc: Crc64 | undefined;
  #splitName = "" as ByteString;

  constructor(parts: {
    readonly cutter: StreamCutter;
    readonly tarSplit: TarSplitWriter | undefined;
    readonly mode: FeedMode;
  }) {
    this.#cutter = parts.cutter;
    this.#tarSplit = parts.tarSplit;
    this.#mode = parts.mode;
  }

  /** Bytes that were handed on. */
  get size(): number {
    return this.#size;
  }

  /** Of all that was handed on and what follows it. */
  diffId(tarTail: Buffer): Digest {
    return `sha256:${this.#hash.update(tarTail).digest("hex")}` as Digest;
  }

  /** @throws FAILED_PRECONDITION `layer-entry-reserved`, `layer-entry-sparse`, `layer-entry-unsupported` */
  push(piece: TarPiece): void {
    if (piece.kind === "content") this.#content(piece.bytes);
    else if (piece.kind === "entry") this.#entry(piece.entry, piece.padding, piece.header);
    else if (piece.kind === "landmark") this.#landmark(piece.name);
    else if (this.#mode !== "rebuilt") this.#tail(piece.bytes);
  }

  /** With the two blocks of zeros that end a tar where they were left out and nothing else will bring them. */
  end(options: { readonly endsTar: boolean }): void {
    this.#closeContent();
    if (this.#mode === "rebuilt") {
      this.#pad();
      if (options.endsTar) this.#raw(Buffer.alloc(2 * BLOCK_BYTES));
    }
    // A tar-split can't be of nothing.
    if (this.#size === 0 && this.#tarSplit !== undefined) this.#raw(Buffer.alloc(2 * BLOCK_BYTES));
    this.#closeSegment();
    this.#cutter.end();
  }

  #entry(entry: TarEntry, padding: Buffer, header: Buffer): void {
    this.#closeContent();
    if (this.#mode === "rebuilt" || this.#state === "rewritten") this.#pad();
    else if (this.#state === "kept") this.#raw(padding);
    this.#state = "kept";
    if (entry.kind === "global") {
      this.#raw(header);
      return;
    }
    if (reservedNames.includes(entryPath(entry.name) ?? "")) {
      if (this.#mode === "exact")
        throw refuse("layer-entry-reserved", entry, "its name is one of eStargz's own");
      this.#state = "dropped";
      return;
    }
    const type = types[entry.kind];
    if (type === undefined) {
      throw refuse(
        "layer-entry-unsupported",
        entry,
        `its type ${JSON.stringify(entry.typeFlag)} is none of a layer`,
      );
    }
    const written = writtenEntry(entry, type);
    if (entry.sparse === undefined) this.#open(written, header, entry.size);
    else this.#openSparse(entry, written);
  }

  #tail(bytes: Buffer): void {
    this.#closeContent();
    if (this.#state === "kept") this.#raw(bytes);
    else {
      // Its first bytes pad contents that are not there any more.
      this.#pad();
      this.#raw(bytes.subarray(bytes.length % BLOCK_BYTES));
    }
  }

  #openSparse(entry: TarEntry, written: WrittenEntry): void {
    if (this.#mode === "exact") throw refuse("layer-entry-sparse", entry, "it is a sparse file");
    this.#state = "rewritten";
    const { name, mode, uid, gid, userName, groupName, mtime, xattrs, size } = entry;
    const facts = { name, mode, uid, gid, userName, groupName, mtime, xattrs, size };
    this.#open(written, new TarWriter().header({ kind: "file", ...facts }), size);
    this.#sparse = new SparseContent(entry);
    // What stands before the first region comes with it, and all of a file without regions now.
    if (entry.packedSize === 0) this.#closeContent();
  }

  #open(written: WrittenEntry, header: Buffer, size: number): void {
    this.#raw(header);
    this.#closeSegment();
    this.#cutter.entry(written, size);
    this.#contentLeft = size;
    this.#contentSize = size;
    if (this.#tarSplit === undefined) return;
    if (size === 0) this.#tarSplit.addFile({ name: written.name, size, crc64: undefined });
    else this.#crc = new Crc64();
    this.#splitName = written.name;
  }

  #content(bytes: Buffer): void {
    if (this.#state === "dropped") return;
    if (this.#sparse === undefined) this.#contentBytes(bytes);
    else for (const piece of this.#sparse.push(bytes)) this.#contentBytes(piece);
  }

  #contentBytes(bytes: Buffer): void {
    this.#cutter.content(bytes);
    this.#crc?.update(bytes);
    this.#count(bytes);
    this.#contentLeft -= bytes.length;
    if (this.#contentLeft > 0 || this.#crc === undefined) return;
    const crc64 = this.#crc.digest();
    this.#tarSplit?.addFile({ name: this.#splitName, size: this.#contentSize, crc64 });
    this.#crc = undefined;
  }

  #closeContent(): void {
    const sparse = this.#sparse;
    this.#sparse = undefined;
    if (sparse !== undefined) for (const piece of sparse.end()) this.#contentBytes(piece);
  }

  #landmark(name: string): void {
    this.#closeContent();
    this.#pad();
    const mtime = { seconds: 0n, nanoseconds: 0 };
    const facts = { name: bytesOfText(name), mode: 0o444, uid: 0, gid: 0, mtime, xattrs: [], size: 1 };
    const header = new TarWriter().header({ kind: "file", ...facts });
    this.#cutter.cutNext();
    this.#open({ type: "reg", ...facts }, header, 1);
    this.#contentBytes(LANDMARK_CONTENT);
    this.#cutter.cutNext();
    this.#state = "rewritten";
  }

  #pad(): void {
    const rest = this.#size % BLOCK_BYTES;
    if (rest > 0) this.#raw(Buffer.alloc(BLOCK_BYTES - rest));
  }

  #raw(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#cutter.raw(bytes);
    this.#count(bytes);
    if (this.#tarSplit !== undefined) this.#segment.push(bytes);
  }

  #count(bytes: Buffer): void {
    this.#size += bytes.length;
    this.#hash.update(bytes);
  }

  #closeSegment(): void {
    if (this.#segment.length === 0) return;
    this.#tarSplit?.addSegment(Buffer.concat(this.#segment));
    this.#segment = [];
  }
}

function writtenEntry(entry: TarEntry, type: WrittenEntry["type"]): WrittenEntry {
  const { name, mode, uid, gid, mtime, xattrs, devMajor, devMinor, size, linkName } = entry;
  const facts = { name, type, mode, uid, gid, mtime, xattrs };
  if (type === "reg") return { ...facts, size };
  if (type === "symlink" || type === "hardlink") return { ...facts, linkName };
  return type === "char" || type === "block" ? { ...facts, devMajor, devMinor } : facts;
}

/** What only a layer as it is can have; the caller leaves such a layer as it is. */
function refuse(reason: string, entry: TarEntry, problem: string): Error {
  const name = JSON.stringify(textOfBytes(entry.name));
  return failedPrecondition(`Cannot convert layer: ${name} can't be in one of that format: ${problem}`, {
    reason,
  });
}
