import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { FilePart, ReplayPart, ReplayRange } from "../layer/index.js";
import { log } from "../observe/index.js";
import type { Profile, ProfileEntry } from "./contract.js";
import { STRAY_LAYERS_MAX } from "./limits.js";
import { usedEntries } from "./merge-starts.js";

/** Finds out where files lie in a layer. */
export interface RangeFinder {
  /** Says that questions come soon. */
  ready?(): void;
  rangesOf(
    digest: Digest,
    files: readonly FilePart[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<readonly (ReplayRange | undefined)[]>;
}

/** What is to be read of one layer, with the place of each range in the profile's order. */
export interface PlacedRange extends ReplayRange {
  readonly digest: Digest;
  readonly place: number;
}

/**
 * Turns a profile into ranges of an image's layers. Files of a layer that the image has are looked for in it; those of
 * layers that it has not (the profile is of another tag) in those that the profile does not know. A file that has another
 * size by now is left out.
 */
export class ReplayPlanner {
  readonly #profile: Profile;
  readonly #entries: readonly ProfileEntry[];
  readonly #files: RangeFinder;
  #strayLayers = 0;

  constructor(options: { readonly profile: Profile; readonly files: RangeFinder }) {
    this.#profile = options.profile;
    this.#files = options.files;
    this.#entries = usedEntries(options.profile);
  }

  /** For one layer of the image; `image` are all that are known of it. @throws when `signal` is aborted */
  async rangesIn(
    digest: Digest,
    { image, signal }: { readonly image: ReadonlySet<Digest>; readonly signal: AbortSignal },
  ): Promise<readonly PlacedRange[]> {
    const { layers, files } = this.#profile;
    const isStray = !layers.includes(digest);
    if (isStray) {
      this.#strayLayers += 1;
      if (this.#strayLayers > STRAY_LAYERS_MAX) return [];
    }
    const wanted: { readonly place: number; readonly part: FilePart }[] = [];
    for (const [place, { file, offset, length }] of this.#entries.entries()) {
      const { layer, path, size: fileSize } = files[file]!;
      const own = layers[layer]!;
      if (isStray ? image.has(own) : own !== digest) continue;
      wanted.push({ place, part: { path, fileSize, offset, length } });
    }
    if (wanted.length === 0) return [];
    try {
      const parts = wanted.map(({ part }) => part);
      const ranges = await this.#files.rangesOf(digest, parts, { signal });
      return wanted.flatMap(({ place }, at) => {
        const range = ranges[at];
        return range === undefined ? [] : [{ ...range, digest, place }];
      });
    } catch (thrown) {
      signal.throwIfAborted();
      const error = LazuliError.from(thrown).message;
      log.debug("Cannot find the files of a profile in a layer", { digest, error });
      return [];
    }
  }
}

/** Ranges of several layers in the profile's order; neighbours become one. */
export function partsOf(ranges: readonly PlacedRange[]): ReplayPart[] {
  const parts: { digest: Digest; ranges: { offset: number; length: number }[] }[] = [];
  for (const { digest, offset, length } of ranges.toSorted((left, right) => left.place - right.place)) {
    const part = parts.at(-1);
    const before = part?.ranges.at(-1);
    if (part === undefined || part.digest !== digest) parts.push({ digest, ranges: [{ offset, length }] });
    else if (before !== undefined && before.offset + before.length === offset) before.length += length;
    else part.ranges.push({ offset, length });
  }
  return parts;
}
