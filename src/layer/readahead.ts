import { READAHEAD_PLACES_MAX, READAHEAD_START_BYTES_MAX, READAHEAD_START_BYTES_MIN } from "./limits.js";
import type { LinkEstimate } from "./link-estimate.js";

/** A stretch of the blob that a reader walks along. Bytes. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly window: number;
}

/**
 * How far beyond a read's own units a request reaches. A miss just behind (or inside) a stretch that was fetched
 * before means that a reader follows the order of the blob: the window doubles. A miss elsewhere starts anew, with what
 * the link carries while the request is on its way.
 */
export class Readahead {
  readonly #maxBytes: number;
  readonly #link: LinkEstimate;
  /** Oldest first. */
  #places: readonly Place[] = [];

  constructor(options: {
    /** Most bytes beyond a read; 0 turns readahead off. */
    readonly maxBytes: number;
    readonly link: LinkEstimate;
  }) {
    this.#maxBytes = options.maxBytes;
    this.#link = options.link;
  }

  /** Whether a miss at this offset goes on where one was before. */
  isFollowing(blobOffset: number): boolean {
    return this.#placeOf(blobOffset) !== undefined;
  }

  /** The window of a place that was not read before. */
  get startBytes(): number {
    const measured = this.#link.bytesPerRoundTrip ?? READAHEAD_START_BYTES_MAX;
    return Math.round(Math.min(READAHEAD_START_BYTES_MAX, Math.max(READAHEAD_START_BYTES_MIN, measured)));
  }

  /** The window for a miss at this offset of the blob. */
  windowAt(blobOffset: number): number {
    const place = this.#placeOf(blobOffset);
    return Math.min(this.#maxBytes, place === undefined ? this.startBytes : place.window * 2);
  }

  /** A request for such a miss was made and reaches to `end`. */
  requested(blobOffset: number, end: number): void {
    const place = this.#placeOf(blobOffset);
    const grown = {
      start: place?.start ?? blobOffset,
      end: Math.max(place?.end ?? 0, end),
      window: this.windowAt(blobOffset),
    };
    this.#places = [...this.#places.filter((other) => other !== place), grown].slice(-READAHEAD_PLACES_MAX);
  }

  #placeOf(blobOffset: number): Place | undefined {
    return this.#places.findLast(
      (place) => blobOffset >= place.start && blobOffset <= place.end + place.window,
    );
  }
}
