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

/** Whether a start tells something: it read about as much as those before it. */
export function isCold(before: Profile | undefined, start: StartReads): boolean {
  const bytes = start.reads.reduce((sum, { length }) => sum + length, 0);
  if (before === undefined) return bytes > 0;
  const known = usedEntries(before).reduce((sum, { length }) => sum + length, 0);
  return bytes > 0 && bytes >= known * COLD_PART_MIN;
}

/** What a start is expected to read: without what only few starts did, and what is beyond all bounds. */
export function usedEntries(profile: Profile): readonly ProfileEntry[] {
  const least = profile.starts >= STARTS_SIFTED ? profile.starts * STARTS_PART_MIN : 0;
  const used: ProfileEntry[] = [];
  let bytes = 0;
  for (const entry of profile.entries) {
    if (entry.starts < least) continue;
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
