import type { DiskRecord } from "./disk-log.js";
import { Random } from "./random.js";

/**
 * One disk as a loss of power may leave it: all records before `flushed`, and of those from there to `cut` what `fate`
 * and `seed` choose.
 */
export interface CrashImage {
  readonly number: number;
  readonly flushed: number;
  readonly cut: number;
  readonly fate: "lost" | "subset" | "torn";
  readonly seed: number;
}

export interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

const SECTOR_BYTES = 512;
/** ext4 writes its superblock as one block that a disk with 4 KiB sectors keeps whole. */
const SUPERBLOCK_END = 4096;

/** Different images of one log; fewer than asked for when the log has no more to give. */
export function planImages(options: {
  readonly records: readonly DiskRecord[];
  /** Lengths of the log at which something had just been acknowledged: half of the images stop there. */
  readonly acknowledgedAt: readonly number[];
  readonly count: number;
  readonly seed: number;
}): CrashImage[] {
  const { records, acknowledgedAt, count } = options;
  const random = new Random(options.seed);
  const flushedBefore = lastFlushes(records);
  const known = new Set<string>();
  const images: CrashImage[] = [];
  for (let tries = 0; images.length < count && tries < count * 20; tries += 1) {
    const acknowledged = random.chance(50) ? random.pick(acknowledgedAt) : undefined;
    const cut = acknowledged === undefined ? random.below(records.length + 1) : cutAt(records, acknowledged);
    const image: CrashImage = {
      number: images.length,
      flushed: flushedBefore[cut]!,
      cut,
      fate: random.pick(["lost", "subset", "torn"] as const)!,
      seed: random.below(2 ** 31),
    };
    // Two that keep the same bytes but stop on other sides of an acknowledgement are two.
    const pieces = survivors(records, image).map(({ offset, bytes }) => `${offset}+${bytes.length}`);
    const key = `${image.flushed}:${image.cut}:${pieces.join()}`;
    if (known.has(key)) continue;
    known.add(key);
    images.push(image);
  }
  return images;
}

/** For each cut the number of records that the last flush before it made safe. */
function lastFlushes(records: readonly DiskRecord[]): number[] {
  const flushed = [0];
  for (const [index, { kind }] of records.entries())
    flushed.push(kind === "flush" ? index + 1 : flushed[index]!);
  return flushed;
}

function cutAt(records: readonly DiskRecord[], logBytes: number): number {
  const next = records.findIndex(({ logEnd }) => logEnd > logBytes);
  return next < 0 ? records.length : next;
}

/** What reached the disk of the records that no flush covers, in order. */
export function survivors(records: readonly DiskRecord[], image: CrashImage): Piece[] {
  if (image.fate === "lost") return [];
  const random = new Random(image.seed);
  const percent = random.pick([20, 50, 80, 95])!;
  const pieces: Piece[] = [];
  for (const { offset, bytes } of records.slice(image.flushed, image.cut)) {
    if (image.fate === "torn" && offset >= SUPERBLOCK_END && random.chance(40)) {
      for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
        if (random.chance(50))
          pieces.push({ offset: offset + at, bytes: bytes.subarray(at, at + SECTOR_BYTES) });
      }
    } else if (bytes.length > 0 && random.chance(percent)) {
      pieces.push({ offset, bytes });
    }
  }
  return pieces;
}

/** Walks along the log and has the disk as each flush left it. */
export class FlushedDisk {
  readonly #base: Buffer;
  readonly #records: readonly DiskRecord[];
  readonly bytes: Buffer;
  #applied = 0;

  constructor(base: Buffer, records: readonly DiskRecord[]) {
    this.#base = base;
    this.#records = records;
    this.bytes = Buffer.from(base);
  }

  moveTo(flushed: number): void {
    if (flushed < this.#applied) {
      this.#base.copy(this.bytes);
      this.#applied = 0;
    }
    for (const { offset, bytes } of this.#records.slice(this.#applied, flushed))
      bytes.copy(this.bytes, offset);
    this.#applied = flushed;
  }
}
