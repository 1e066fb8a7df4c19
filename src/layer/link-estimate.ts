import type { BlobSource, RangeRequest } from "../registry/index.js";
import type { Clock } from "./clock.js";
import { LINK_SAMPLE_BYTES_MIN, LINK_SAMPLES_MAX } from "./limits.js";

interface Sample {
  /** From the request to its first byte. */
  readonly firstByteMs: number;
  readonly bytesPerMs: number;
}

/**
 * What the link to the registries can carry while one round trip lasts, from the requests of late: bytes that are
 * fetched along up to this cost no more time than the request itself. Requests share the link, so the fastest body and
 * the shortest wait count.
 */
export class LinkEstimate {
  readonly #clock: Clock;
  #samples: readonly Sample[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** undefined: nothing was measured yet. */
  get bytesPerRoundTrip(): number | undefined {
    if (this.#samples.length === 0) return undefined;
    const fastest = Math.max(...this.#samples.map((sample) => sample.bytesPerMs));
    const shortest = Math.min(...this.#samples.map((sample) => sample.firstByteMs));
    return fastest * shortest;
  }

  /** The same source, whose requests are measured. */
  measured(source: BlobSource): BlobSource {
    return {
      digest: source.digest,
      size: source.size,
      description: source.description,
      readRange: (request) => this.#read(source, request),
      distrust: (range) => source.distrust(range),
    };
  }

  async *#read(source: BlobSource, request: RangeRequest): AsyncIterable<Buffer> {
    const startedAt = this.#clock.now();
    let firstAt: number | undefined;
    let bytes = 0;
    for await (const piece of source.readRange(request)) {
      if (firstAt === undefined) firstAt = this.#clock.now();
      else bytes += piece.length;
      yield piece;
    }
    if (firstAt !== undefined) this.#note(firstAt - startedAt, bytes, this.#clock.now() - firstAt);
  }

  #note(firstByteMs: number, bytes: number, bodyMs: number): void {
    // A short body says nothing about the link: it came with the first bytes.
    if (bytes < LINK_SAMPLE_BYTES_MIN || bodyMs <= 0) return;
    this.#samples = [...this.#samples, { firstByteMs, bytesPerMs: bytes / bodyMs }].slice(-LINK_SAMPLES_MAX);
  }
}
