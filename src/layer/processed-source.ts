import { deferred, linkSignals, withSignal } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { BlobSource, RangeRequest } from "../registry/index.js";
import { PROCESSED_PARKED_MS } from "./limits.js";
import { type Processing, processBlob } from "./process-blob.js";

/**
 * What processors made of a blob, for units that were lost: they are at places of it. A range can only be had by going
 * through the blob from its start, so the reader is kept for a while, and ranges in order cost one pass together. The
 * bytes count by their units' digests, which are from a pass that was verified to its end.
 */
export class ProcessedSource implements BlobSource {
  readonly digest: Digest;
  readonly size: number;
  readonly description: string;
  readonly #source: BlobSource;
  readonly #processing: Processing;
  #parked: { readonly pass: Pass; readonly timer: NodeJS.Timeout } | undefined;
  #turns: Promise<void> = Promise.resolve();

  /** @param options.size Bytes that come out of the processors. */
  constructor(options: {
    readonly source: BlobSource;
    readonly processing: Processing;
    readonly size: number;
  }) {
    const { source, processing, size } = options;
    this.digest = source.digest;
    this.size = size;
    this.description = source.description;
    this.#source = source;
    this.#processing = processing;
  }

  async *readRange({ offset, length, signal }: RangeRequest): AsyncGenerator<Buffer> {
    const endTurn = await this.#turn(signal);
    const pass = this.#take(offset) ?? new Pass(this.#source, this.#processing);
    using _linked = pass.endedBy(signal);
    let isWhole = false;
    try {
      while (pass.position < offset) await pass.next(offset - pass.position);
      for (let left = length; left > 0; ) {
        const piece = await pass.next(left);
        left -= piece.length;
        yield piece;
      }
      isWhole = true;
    } finally {
      if (isWhole && pass.position < this.size) this.#park(pass);
      else pass.end();
      endTurn();
    }
  }

  /** Which place of the blob they come from is not known. */
  distrust(): void {
    this.#source.distrust({ offset: 0, length: this.#source.size });
  }

  /** One pass at a time: a second one would fetch and decode the same. */
  async #turn(signal: AbortSignal | undefined): Promise<() => void> {
    const before = this.#turns;
    const own = deferred<void>();
    this.#turns = before.then(() => own.promise);
    try {
      await withSignal(before, signal);
    } catch (thrown) {
      own.resolve();
      throw thrown;
    }
    return () => own.resolve();
  }

  #take(offset: number): Pass | undefined {
    const parked = this.#parked;
    this.#parked = undefined;
    clearTimeout(parked?.timer);
    if (parked === undefined || parked.pass.position <= offset) return parked?.pass;
    parked.pass.end();
    return undefined;
  }

  #park(pass: Pass): void {
    const timer = setTimeout(() => {
      this.#parked = undefined;
      pass.end();
    }, PROCESSED_PARKED_MS);
    timer.unref();
    this.#parked = { pass, timer };
  }
}

/** One way through the blob, from its start. */
class Pass {
  position = 0;
  readonly #ending = new AbortController();
  readonly #pieces: AsyncGenerator<Buffer>;
  readonly #digest: Digest;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: BlobSource, processing: Processing) {
    this.#digest = source.digest;
    this.#pieces = processBlob({
      source,
      processing,
      onFetched: () => undefined,
      signal: this.#ending.signal,
    });
  }

  /** The next bytes, 1 to `lengthMax` of them. */
  async next(lengthMax: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#pieces.next();
      if (done === true) throw this.#tooShort();
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, lengthMax);
    this.#rest = this.#rest.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }

  endedBy(signal: AbortSignal | undefined): Disposable {
    const linked = linkSignals([signal]);
    linked.signal.addEventListener("abort", () => this.#ending.abort(linked.signal.reason), { once: true });
    if (linked.signal.aborted) this.#ending.abort(linked.signal.reason);
    return linked;
  }

  end(): void {
    this.#ending.abort(new DOMException("Nobody reads the rest of the blob", "AbortError"));
    // It ends by itself; what it fails with concerns nobody.
    this.#pieces.return(undefined).catch(() => undefined);
  }

  #tooShort(): Error {
    return dataLoss(
      `Cannot read layer ${this.#digest}: its processors give fewer bytes than when the layer was made`,
      { subject: this.#digest, reason: "processed-length-mismatch" },
    );
  }
}
