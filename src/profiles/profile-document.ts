import { type Digest, parseDigest, parseJson } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import { parseReference } from "../oci/index.js";
import type { Profile, ProfileEntry, ProfileFile } from "./contract.js";
import {
  COMMAND_CHARACTERS_MAX,
  COMMAND_WORDS_MAX,
  ENTRIES_MAX,
  LAYERS_MAX,
  PROFILE_BYTES_MAX,
  STARTS_MAX,
  TIME_MS_MAX,
  TIMES_MAX,
} from "./limits.js";
import { medianOf } from "./median.js";
import { isProfilePath } from "./profile-path.js";

/** Media type of the document, and artifact type of the manifest that refers to an image. */
export const PROFILE_MEDIA_TYPE = "application/vnd.lazuli.profile.v1+json";

const VERSION = 1;
const keys = ["version", "repository", "manifest", "layers", "command", "starts", "files", "entries"];

/**
 * The document of a profile, the same bytes for the same profile:
 *
 *     {"version":1,"repository":…,"manifest":…,"layers":[…],"command":[…],"starts":2,
 *      "files":[[layer,"path",size],…],"entries":[[file,offset,length,starts,time,…],…]}
 *
 * `manifest` and `command` are left out where nobody knows them. What the limits don't hold is cut: what the fewest starts
 * read goes first, then what was read last.
 */
export function encodeProfile(profile: Profile): Buffer {
  let kept = Math.min(profile.entries.length, ENTRIES_MAX);
  for (;;) {
    const bytes = encodeOnce(kept === profile.entries.length ? profile : cutTo(profile, kept));
    if (bytes.length <= PROFILE_BYTES_MAX) return bytes;
    kept = Math.floor(kept * Math.min(0.95, (PROFILE_BYTES_MAX / bytes.length) * 0.98));
  }
}

function encodeOnce(profile: Profile): Buffer {
  const { repository, manifest, layers, command, starts, files, entries } = profile;
  return Buffer.from(
    JSON.stringify({
      version: VERSION,
      repository,
      manifest,
      layers,
      command,
      starts,
      files: files.map(({ layer, path, size }) => [layer, path, size]),
      entries: entries.map(({ file, offset, length, starts: seen, timesMs }) => [
        file,
        offset,
        length,
        seen,
        ...timesMs,
      ]),
    }),
  );
}

/** The most telling entries, and the files that they are of. */
function cutTo(profile: Profile, count: number): Profile {
  const worth = profile.entries.map((entry, place) => ({ entry, place }));
  worth.sort((left, right) => right.entry.starts - left.entry.starts || left.place - right.place);
  const kept = new Set(worth.slice(0, count).map(({ entry }) => entry));
  return withoutIdleFiles({ ...profile, entries: profile.entries.filter((entry) => kept.has(entry)) });
}

/** Files that no entry is of are left out. */
export function withoutIdleFiles(profile: Profile): Profile {
  const numbers = new Map<number, number>();
  const files: ProfileFile[] = [];
  const entries = profile.entries.map((entry) => {
    let file = numbers.get(entry.file);
    if (file === undefined) {
      file = files.push(profile.files[entry.file]!) - 1;
      numbers.set(entry.file, file);
    }
    return { ...entry, file };
  });
  return { ...profile, files, entries };
}

/**
 * Reads a document, perhaps a stranger's, whose digest was checked. Nothing of it is taken where anything is wrong.
 * @throws INVALID_ARGUMENT `profile-invalid` or those of parseJson(), RESOURCE_EXHAUSTED
 */
export function decodeProfile(bytes: Uint8Array): Profile {
  const maxNodes = ENTRIES_MAX * (4 + TIMES_MAX + 1) + ENTRIES_MAX * 4 + LAYERS_MAX + COMMAND_WORDS_MAX + 32;
  const value = parseJson(bytes, { maxBytes: PROFILE_BYTES_MAX, maxDepth: 3, maxNodes });
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refused("want an object");
  const fields = value as Readonly<Record<string, unknown>>;
  const stranger = Object.keys(fields).find((key) => !keys.includes(key));
  if (stranger !== undefined) throw refused("it has a key that no profile has");
  if (fields["version"] !== VERSION) throw refused(`want version ${VERSION}`);
  const layers = listOf(fields["layers"], "layers", LAYERS_MAX).map(digestOf);
  if (layers.length === 0) throw refused("it has no layers");
  if (new Set(layers).size !== layers.length) throw refused("it has a layer twice");
  const starts = numberOf(fields["starts"], "starts", { least: 1, most: STARTS_MAX });
  const files = listOf(fields["files"], "files", ENTRIES_MAX).map((file) => fileOf(file, layers.length));
  const entries = listOf(fields["entries"], "entries", ENTRIES_MAX).map((entry) =>
    entryOf(entry, { files, starts }),
  );
  return {
    version: VERSION,
    repository: repositoryOf(fields["repository"]),
    manifest: fields["manifest"] === undefined ? undefined : digestOf(fields["manifest"]),
    layers,
    command: commandOf(fields["command"]),
    starts,
    files,
    entries: inOrder(entries),
  };
}

/** By the median of their times, then as they stand. */
export function inOrder(entries: readonly ProfileEntry[]): ProfileEntry[] {
  return entries
    .map((entry, place) => ({ entry, place, at: medianOf(entry.timesMs) }))
    .sort((left, right) => left.at - right.at || left.place - right.place)
    .map(({ entry }) => entry);
}

function fileOf(value: unknown, layers: number): ProfileFile {
  const [layer, path, size, ...more] = listOf(value, "a file", 3);
  if (more.length > 0 || typeof path !== "string" || !isProfilePath(path)) throw refused("a path is none");
  return {
    layer: numberOf(layer, "a file's layer", { least: 0, most: layers - 1 }),
    path,
    size: numberOf(size, "a file's size", { least: 1, most: Number.MAX_SAFE_INTEGER }),
  };
}

function entryOf(
  value: unknown,
  { files, starts: all }: { readonly files: readonly ProfileFile[]; readonly starts: number },
): ProfileEntry {
  const [first, second, third, fourth, ...times] = listOf(value, "an entry", 4 + TIMES_MAX);
  const file = numberOf(first, "an entry's file", { least: 0, most: files.length - 1 });
  const { size } = files[file]!;
  const offset = numberOf(second, "an entry's offset", { least: 0, most: size - 1 });
  const length = numberOf(third, "an entry's length", { least: 1, most: size - offset });
  const starts = numberOf(fourth, "an entry's starts", { least: 1, most: all });
  if (times.length === 0) throw refused("an entry has no time");
  const timesMs = times.map((time) => numberOf(time, "a time", { least: 0, most: TIME_MS_MAX }));
  return { file, offset, length, starts, timesMs };
}

function repositoryOf(value: unknown): string {
  if (value === "") return "";
  if (typeof value !== "string") throw refused("its repository is no text");
  const { registry, repository } = parseReference(value);
  if (`${registry}/${repository}` !== value) throw refused("its repository is none");
  return value;
}

function commandOf(value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined;
  const words = listOf(value, "a command", COMMAND_WORDS_MAX).map((word) => {
    if (typeof word === "string") return word;
    throw refused("a word of its command is no text");
  });
  const characters = words.reduce((sum, word) => sum + word.length, 0);
  if (words.length > 0 && characters <= COMMAND_CHARACTERS_MAX) return words;
  throw refused("its command is empty or too long");
}

function digestOf(value: unknown): Digest {
  return parseDigest(value);
}

function listOf(value: unknown, name: string, most: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most)
    throw refused(`want a list of at most ${most} for ${name}`);
  return value;
}

function numberOf(
  value: unknown,
  name: string,
  { least, most }: { readonly least: number; readonly most: number },
): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most)
    return value + 0;
  throw refused(`want a whole number from ${least} to ${most} for ${name}`);
}

function refused(problem: string): LazuliError {
  return invalidArgument(`Cannot read profile: ${problem}`, { reason: "profile-invalid" });
}
