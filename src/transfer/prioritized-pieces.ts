import type { ByteString } from "../bytes/index.js";
import { readTar, type TarEntry } from "../tar/index.js";
import { entryPath } from "./entry-path.js";
import type { ScratchFile } from "./scratch-file.js";
import { landmarks } from "./tar-feed.js";
import { type TarPiece, tarPieces } from "./tar-pieces.js";

export interface PrioritizeOptions {
  /** The layer's tar. */
  readonly tar: ScratchFile;
  readonly tarSize: number;
  /** Paths in the order in which they are wanted. */
  readonly prioritized: readonly ByteString[];
  readonly signal?: AbortSignal | undefined;
}

/** Hard links to hard links that are followed; a longer chain leaves its first link where it is. */
const LINK_PASSES_MAX = 8;

/**
 * A tar with some files in front, each behind the directories that lead to it and the file that it is a link to; then a
 * landmark, and the rest in its order. Where none of the files is there, the landmark that says so comes first. An
 * entry that the tar has more than once stays where it is, since the last one counts.
 */
export async function* prioritizedPieces(
  options: PrioritizeOptions,
): AsyncGenerator<TarPiece, void, undefined> {
  const { tar, tarSize, signal } = options;
  const front = await entriesInFront(options);
  const moved = new Set(front.map(({ headerOffset }) => headerOffset));
  for (const entry of front) {
    const header = await tar.read(entry.headerOffset, entry.dataOffset - entry.headerOffset);
    yield { kind: "entry", entry, padding: Buffer.alloc(0), header };
    for await (const bytes of tar.pieces(entry.dataOffset, entry.packedSize))
      yield { kind: "content", bytes };
  }
  yield { kind: "landmark", name: front.length === 0 ? landmarks.noPrefetch : landmarks.prefetch };
  let isMoved = false;
  for await (const piece of tarPieces(tar.pieces(0, tarSize))) {
    signal?.throwIfAborted();
    if (piece.kind === "entry") isMoved = moved.has(piece.entry.headerOffset);
    else if (piece.kind === "tail") isMoved = false;
    if (!isMoved) yield piece;
  }
}

async function entriesInFront(options: PrioritizeOptions): Promise<TarEntry[]> {
  const places = await findPlaces(options);
  const front = new Map<ByteString, TarEntry>();
  /** Iterative: a path has at most one link to follow, and its parents have none. */
  const add = (path: ByteString): void => {
    const chain: TarEntry[] = [];
    const seen = new Set<ByteString>();
    for (let at: ByteString | undefined = path; at !== undefined; ) {
      const entry = places.get(at);
      if (entry === undefined || seen.has(at)) return;
      seen.add(at);
      chain.unshift(entry);
      at = entry.kind === "hardlink" ? entryPath(entry.linkName) : undefined;
    }
    for (const entry of chain) {
      const own = entryPath(entry.name)!;
      for (const parent of parentsOf(own)) {
        const directory = places.get(parent);
        if (directory?.kind === "directory") front.set(parent, directory);
      }
      front.set(own, entry);
    }
  };
  for (const path of options.prioritized) add(path);
  const hasFile = [...front.values()].some(({ kind }) => kind !== "directory");
  return hasFile ? [...front.values()] : [];
}

/** The entries of the paths, of all directories above them, and of what they link to; none for what comes twice. */
async function findPlaces(options: PrioritizeOptions): Promise<Map<ByteString, TarEntry>> {
  const { tar, tarSize: size, signal } = options;
  const read = async (range: { offset: number; length: number }): Promise<Buffer> =>
    await tar.read(range.offset, range.length);
  const wanted = new Set<ByteString>();
  let added = withParents(options.prioritized);
  const found = new Map<ByteString, TarEntry | undefined>();
  for (let pass = 0; added.length > 0 && pass < LINK_PASSES_MAX; pass += 1) {
    const isNew = new Set(added.filter((path) => !wanted.has(path)));
    for (const path of isNew) wanted.add(path);
    const targets: ByteString[] = [];
    for await (const entry of readTar({ size, read, ...(signal === undefined ? {} : { signal }) })) {
      const path = entryPath(entry.name);
      if (path === undefined || !isNew.has(path)) continue;
      found.set(path, found.has(path) ? undefined : entry);
      const target = entry.kind === "hardlink" ? entryPath(entry.linkName) : undefined;
      if (target !== undefined && !wanted.has(target)) targets.push(target);
    }
    added = withParents(targets).filter((path) => !wanted.has(path));
  }
  return new Map([...found].flatMap(([path, entry]) => (entry === undefined ? [] : [[path, entry]])));
}

function withParents(paths: readonly ByteString[]): ByteString[] {
  return [...new Set(paths.flatMap((path) => [...parentsOf(path), path]))];
}

/** From the top down, without the root. */
function parentsOf(path: ByteString): ByteString[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/") as ByteString);
}
