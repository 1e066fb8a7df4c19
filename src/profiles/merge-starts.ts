import type { Digest } from "../bytes/index.js";
import type { Profile, ProfileEntry, ProfileFile, StartRead, StartReads } from "./contract.js";
import {
  COLD_PART_MIN,
  COMMAND_CHARACTERS_MAX,
  COMMAND_WORDS_MAX,
  PLANNED_BYTES_MAX,
  STARTS_MAX,
  STARTS_PART_MIN,
  STARTS_SIFTED,
  TIME_MS_MAX,
  TIMES_MAX,
} from "./limits.js";
import { inOrder, withoutIdleFiles } from "./profile-document.js";
import { isProfilePath } from "./profile-path.js";

/** A profile with one start more; undefined as the first: one of this start alone. */
export function mergeStart(before: Profile | undefined, start: StartReads): Profile {
  const merged = new Merged(before, start);
  for (const read of start.reads) {
    if (isProfilePath(read.path) && read.atMs <= TIME_MS_MAX) merged.add(read);
  }
  return merged.profile();
}

/**
 * What a start tells something by: the reads of those layers of which it read about as much as those before it. The others
 * were warm, by the kernel's cache or on the local disk, where nobody sees what is read.
 */
export function coldPart(before: Profile | undefined, start: StartReads): StartReads {
  const known = new Map<Digest, number>();
  for (const { file, length } of before === undefined ? [] : usedEntries(before)) {
    const layer = before!.layers[before!.files[file]!.layer]!;
    known.set(layer, (known.get(layer) ?? 0) + length);
  }
  const read = new Map<Digest, number>();
  for (const { layer, length } of start.reads) {
    const digest = start.layers[layer]!;
    read.set(digest, (read.get(digest) ?? 0) + length);
  }
  const isCold = ({ layer }: StartRead): boolean => {
    const digest = start.layers[layer]!;
    return (read.get(digest) ?? 0) >= (known.get(digest) ?? 0) * COLD_PART_MIN;
  };
  return { ...start, reads: start.reads.filter(isCold) };
}

/**
 * What a start is expected to read: without what only few starts did, and what is beyond all bounds. How many starts there
 * were is counted by layer, since a start of which some layers were warm tells nothing of those.
 */
export function usedEntries(profile: Profile): readonly ProfileEntry[] {
  const starts = profile.layers.map(() => 0);
  const layerOf = ({ file }: ProfileEntry): number => profile.files[file]!.layer;
  for (const entry of profile.entries)
    starts[layerOf(entry)] = Math.max(starts[layerOf(entry)]!, entry.starts);
  const used: ProfileEntry[] = [];
  let bytes = 0;
  for (const entry of profile.entries) {
    const all = starts[layerOf(entry)]!;
    if (all >= STARTS_SIFTED && entry.starts < all * STARTS_PART_MIN) continue;
    bytes += entry.length;
    if (bytes > PLANNED_BYTES_MAX) break;
    used.push(entry);
  }
  return used;
}

class Merged {
  readonly #start: StartReads;
  readonly #starts: number;
  readonly #layers: Profile["layers"];
  readonly #files: ProfileFile[];
  readonly #fileNumbers = new Map<string, number>();
  readonly #entries = new Map<string, ProfileEntry>();
  /** What this start has added already. */
  readonly #seen = new Set<string>();

  constructor(before: Profile | undefined, start: StartReads) {
    this.#start = start;
    // One that is halved still has its order.
    const isFull = (before?.starts ?? 0) >= STARTS_MAX;
    const halved = (count: number): number => (isFull ? Math.floor(count / 2) : count);
    this.#starts = halved(before?.starts ?? 0) + 1;
    this.#layers = [...new Set([...(before?.layers ?? []), ...start.layers])];
    this.#files = [...(before?.files ?? [])];
    for (const [number, file] of this.#files.entries()) this.#fileNumbers.set(fileKey(file), number);
    for (const entry of before?.entries ?? []) {
      const starts = halved(entry.starts);
      if (starts > 0) this.#entries.set(entryKey(entry), { ...entry, starts });
    }
  }

  add(read: StartRead): void {
    const layer = this.#layers.indexOf(this.#start.layers[read.layer]!);
    const file = this.#file({ layer, path: read.path, size: read.size });
    const { offset, length } = read;
    const key = entryKey({ file, offset, length });
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    const before = this.#entries.get(key);
    const timesMs = [...(before?.timesMs ?? []), Math.max(0, Math.round(read.atMs))].slice(-TIMES_MAX);
    this.#entries.set(key, { file, offset, length, starts: (before?.starts ?? 0) + 1, timesMs });
  }

  profile(): Profile {
    const { repository, manifest, command } = this.#start;
    return withoutIdleFiles({
      version: 1,
      repository,
      manifest,
      layers: this.#layers,
      command: shortCommand(command),
      starts: this.#starts,
      files: this.#files,
      entries: inOrder([...this.#entries.values()]),
    });
  }

  #file(file: ProfileFile): number {
    const key = fileKey(file);
    let number = this.#fileNumbers.get(key);
    if (number === undefined) {
      number = this.#files.push(file) - 1;
      this.#fileNumbers.set(key, number);
    }
    return number;
  }
}

function fileKey({ layer, path, size }: ProfileFile): string {
  return `${layer} ${size} ${path}`;
}

function entryKey({ file, offset, length }: Pick<ProfileEntry, "file" | "offset" | "length">): string {
  return `${file} ${offset} ${length}`;
}

/** As much of a command as a profile may have. */
export function shortCommand(command: readonly string[] | undefined): readonly string[] | undefined {
  if (command === undefined || command.length === 0) return undefined;
  let left = COMMAND_CHARACTERS_MAX;
  return command.slice(0, COMMAND_WORDS_MAX).map((word) => {
    const kept = word.slice(0, left);
    left -= kept.length;
    return kept;
  });
}
