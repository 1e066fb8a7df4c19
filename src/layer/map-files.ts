import { type ByteString, bytesOfText, textOfBytes } from "../bytes/index.js";
import { type ErofsInode, ErofsReader } from "../erofs/index.js";
import { resourceExhausted } from "../errors/index.js";
import type { FileMapAnswer, FileMapQuery, FilePart, FoundPart } from "./file-map-contract.js";
import { FILE_MAP_NAMES_MAX, FILE_MAP_PARTS_MAX } from "./limits.js";
import { PagedFile } from "./paged-file.js";
import type { ReplayRange } from "./replay-contract.js";

/** Linux PATH_MAX: a deeper path is no file's that a start opened by it. */
const PATH_LENGTH_MAX = 4096;

/** Answers from a layer's meta image. It reads and waits: for a thread of its own. @throws DATA_LOSS, NOT_FOUND (as the system's error) */
export function mapFiles(query: FileMapQuery): FileMapAnswer {
  using file = new PagedFile(query.metaPath);
  const reader = new ErofsReader(file);
  if (query.kind === "files") return { kind: "files", parts: filesIn(reader, query.ranges) };
  return { kind: "ranges", ranges: rangesOf(reader, query.files) };
}

/**
 * What lies in ranges of the data file: by range, then by place. Of a file with several names the one that is found first;
 * one whose name is no UTF-8 is left out.
 */
function filesIn(reader: ErofsReader, ranges: readonly ReplayRange[]): FoundPart[] {
  const sorted = ranges
    .map(({ offset, length }, range) => ({ range, start: offset, end: offset + length }))
    .sort((left, right) => left.start - right.start);
  const found: { part: FoundPart; place: number }[] = [];
  for (const { path, inode } of walkFiles(reader)) {
    const start = inode.dataOffset!;
    const end = start + inode.size;
    for (let at = firstBehind(sorted, start); at < sorted.length && sorted[at]!.start < end; at += 1) {
      if (found.length >= FILE_MAP_PARTS_MAX) break;
      const { range, ...piece } = sorted[at]!;
      const place = Math.max(piece.start, start);
      const length = Math.min(piece.end, end) - place;
      if (length <= 0) continue;
      found.push({ part: { range, path, fileSize: inode.size, offset: place - start, length }, place });
    }
  }
  found.sort((left, right) => left.part.range - right.part.range || left.place - right.place);
  return found.map(({ part }) => part);
}

/** The first of disjoint ranges that ends behind `offset`. */
function firstBehind(sorted: readonly { readonly end: number }[], offset: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.end <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function* walkFiles(reader: ErofsReader): Generator<{ path: string; inode: ErofsInode }> {
  const linked = new Set<number>();
  const directories: { readonly prefix: string; readonly inode: ErofsInode }[] = [
    { prefix: "", inode: reader.root },
  ];
  let names = 0;
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    for (const { name, slot } of reader.names(next.inode)) {
      names += 1;
      if (names > FILE_MAP_NAMES_MAX) throw tooMany();
      const inode = reader.inode(slot);
      if (inode.kind === "other" || next.prefix.length + name.length > PATH_LENGTH_MAX) continue;
      const text = textOfBytes(name);
      if (bytesOfText(text) !== name) continue;
      const path = `${next.prefix}${text}`;
      if (inode.kind === "directory") directories.push({ prefix: `${path}/`, inode });
      else if (inode.dataOffset !== undefined && !linked.has(slot)) {
        if (inode.links > 1) linked.add(slot);
        yield { path, inode };
      }
    }
  }
}

/** Where pieces of files lie; undefined for a file that is not there, or has another size. */
function rangesOf(reader: ErofsReader, files: readonly FilePart[]): (ReplayRange | undefined)[] {
  const tree = new NameTree(reader);
  return files.map(({ path, fileSize, offset, length }) => {
    const inode = tree.find(bytesOfText(path));
    if (inode?.dataOffset === undefined || inode.size !== fileSize) return undefined;
    const end = Math.min(offset + length, fileSize);
    return end <= offset ? undefined : { offset: inode.dataOffset + offset, length: end - offset };
  });
}

/** Looks up paths; what it has read of directories stays. */
class NameTree {
  readonly #reader: ErofsReader;
  readonly #directories = new Map<number, ReadonlyMap<ByteString, number>>();
  #names = 0;

  constructor(reader: ErofsReader) {
    this.#reader = reader;
  }

  find(path: ByteString): ErofsInode | undefined {
    let inode = this.#reader.root;
    for (const name of path.split("/") as ByteString[]) {
      if (inode.kind !== "directory") return undefined;
      const slot = this.#children(inode).get(name);
      if (slot === undefined) return undefined;
      inode = this.#reader.inode(slot);
    }
    return inode.kind === "file" ? inode : undefined;
  }

  #children(directory: ErofsInode): ReadonlyMap<ByteString, number> {
    const known = this.#directories.get(directory.slot);
    if (known !== undefined) return known;
    const children = new Map<ByteString, number>();
    for (const { name, slot } of this.#reader.names(directory)) {
      children.set(name, slot);
      this.#names += 1;
      if (this.#names > FILE_MAP_NAMES_MAX) throw tooMany();
    }
    this.#directories.set(directory.slot, children);
    return children;
  }
}

function tooMany(): Error {
  return resourceExhausted(`Cannot look through a layer: want at most ${FILE_MAP_NAMES_MAX} names`, {
    reason: "file-map-too-large",
  });
}
