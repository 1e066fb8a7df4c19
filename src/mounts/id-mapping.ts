import { invalidArgument, type LazuliError } from "../errors/index.js";

/** Ids from `inside` on, as an image has them, are `size` ids from `outside` on, as this host has them. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly size: number;
}

export interface IdMapping {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** The kernel takes no more ranges (UID_GID_MAP_MAX_EXTENTS). */
const RANGES_MAX = 340;
/** The kernel takes a map in one write below a page; ours has the longest form of it. */
const TEXT_BYTES_MAX = 4095;
/** Ids are 0 to 2^32-2: the last one says "no id". */
const IDS = 2 ** 32 - 1;

/**
 * Reads containerd's form of a mapping: "container:host:size" with commas between the ranges.
 * @throws INVALID_ARGUMENT `id-mapping-invalid`
 */
export function parseIdRanges(text: string): readonly IdRange[] {
  if (text.length > TEXT_BYTES_MAX) {
    throw refusal(text.slice(0, 100), `at most ${TEXT_BYTES_MAX} bytes`, `${text.length}`);
  }
  const parts = text.split(",");
  if (parts.length > RANGES_MAX) throw refusal(text, `at most ${RANGES_MAX} ranges`, `${parts.length}`);
  const ranges = parts.map((part) => parseRange(text, part));
  for (const side of ["inside", "outside"] as const) checkApart(text, ranges, side);
  return ranges;
}

function parseRange(text: string, part: string): IdRange {
  const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(part);
  if (match === null) throw refusal(text, "container:host:size in each range", JSON.stringify(part));
  const range = { inside: Number(match[1]), outside: Number(match[2]), size: Number(match[3]) };
  if (range.size === 0 || range.inside + range.size > IDS || range.outside + range.size > IDS) {
    throw refusal(text, `ranges of 1 id or more below ${IDS}`, part);
  }
  return range;
}

/** The kernel refuses ranges that share ids, on either side. */
function checkApart(text: string, ranges: readonly IdRange[], side: "inside" | "outside"): void {
  const sorted = [...ranges].sort((left, right) => left[side] - right[side]);
  for (const [index, range] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next !== undefined && range[side] + range.size > next[side]) {
      throw refusal(text, "ranges that share no id", `${rangeText(range)} and ${rangeText(next)}`);
    }
  }
}

function refusal(text: string, wanted: string, actual: string): LazuliError {
  return invalidArgument(`Cannot read the id mapping ${text}: want ${wanted}, got ${actual}`, {
    subject: text,
    reason: "id-mapping-invalid",
  });
}

function rangeText(range: IdRange): string {
  return `${range.inside}:${range.outside}:${range.size}`;
}

/** containerd's form again. */
export function idRangesText(ranges: readonly IdRange[]): string {
  return ranges.map(rangeText).join(",");
}

/** The options that say it to whoever mounts, as containerd 2 writes them. */
export function idMappingOptions(mapping: IdMapping): readonly string[] {
  return [`uidmap=${idRangesText(mapping.uids)}`, `gidmap=${idRangesText(mapping.gids)}`];
}

/** The id on the host; undefined where no range holds it. */
export function mapId(ranges: readonly IdRange[], id: number): number | undefined {
  const range = ranges.find(({ inside, size }) => id >= inside && id - inside < size);
  return range === undefined ? undefined : range.outside + (id - range.inside);
}
