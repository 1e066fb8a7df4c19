import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { Profile, StartReads } from "../../src/profiles/index.js";

export function digestOf(name: string): Digest {
  return sha256(Buffer.from(name));
}

/** A profile of one start of an image with two layers. */
export function sampleProfile(changes: Partial<Profile> = {}): Profile {
  return {
    version: 1,
    repository: "registry.example/team/app",
    manifest: digestOf("manifest"),
    layers: [digestOf("below"), digestOf("above")],
    command: ["/usr/bin/app", "--serve"],
    starts: 1,
    files: [
      { layer: 0, path: "lib/libc.so.6", size: 2_000_000 },
      { layer: 1, path: "usr/bin/app", size: 10_000 },
    ],
    entries: [
      { file: 1, offset: 0, length: 10_000, starts: 1, timesMs: [3] },
      { file: 0, offset: 4096, length: 65_536, starts: 1, timesMs: [7] },
    ],
    ...changes,
  };
}

/** A start that reads whole files, `[layer, path, size, time]`. */
export function startOf(
  reads: readonly (readonly [number, string, number, number])[],
  changes: Partial<StartReads> = {},
): StartReads {
  return {
    repository: "registry.example/team/app",
    manifest: digestOf("manifest"),
    layers: [digestOf("below"), digestOf("above")],
    command: undefined,
    reads: reads.map(([layer, path, size, atMs]) => ({ layer, path, size, offset: 0, length: size, atMs })),
    ...changes,
  };
}

/** The paths of a profile's entries in their order. */
export function pathsOf(profile: Pick<Profile, "files" | "entries">): string[] {
  return profile.entries.map(({ file }) => profile.files[file]!.path);
}
