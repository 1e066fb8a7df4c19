import { READAHEAD_MIN_BYTES, READAHEAD_PLACES_MAX, READAHEAD_START_BYTES } from "./limits.js";

/** A stretch of the blob that a reader walks along. Bytes. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly window: number;
}

/**
 * How far beyond a read's own units a request reaches. A miss just behind (or inside) a stretch that was fetched
 * before means that a reader follows the order of the blob: the window doubles. A miss elsewhere starts small, the
 * smaller the more such misses came in a row.
 */
export class Readahead {
  readonly #maxBytes: number;
  /** Oldest first. */
  #places: readonly Place[] = [];
  #startBytes: number;

  /** @param maxBytes Most bytes beyond a read; 0 turns readahead off. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#startBytes = Math.min(READAHEAD_START_BYTES, maxBytes);
  }

  /** The window for a miss at this offset of the blob. */
  windowAt(blobOffset: number): number {
    const place = this.#placeOf(blobOffset);
    return place === undefined ? this.#startBytes : Math.min(place.window * 2, this.#maxBytes);
  }

  /** A request for such a miss was made and reaches to `end`. */
  requested(blobOffset: number, end: number): void {
    const place = this.#placeOf(blobOffset);
    const window = this.windowAt(blobOffset);
    this.#startBytes =
      place === undefined
        ? Math.min(this.#maxBytes, Math.max(READAHEAD_MIN_BYTES, this.#startBytes / 2))
        : Math.min(this.#maxBytes, READAHEAD_START_BYTES);
    const grown = {
      start: place?.start ?? blobOffset,
      end: Math.max(place?.end ?? 0, end),
      window,
    };
    this.#places = [...this.#places.filter((other) => other !== place), grown].slice(-READAHEAD_PLACES_MAX);
  }

  #placeOf(blobOffset: number): Place | undefined {
    return this.#places.findLast(
      (place) =>
        blobOffset >= place.start && blobOffset <= place.end + Math.max(place.window, READAHEAD_MIN_BYTES),
    );
  }
}
