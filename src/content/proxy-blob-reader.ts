import { linkSignals } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { dataLoss, failedPrecondition } from "../errors/index.js";
import type { BlobReader } from "./contract.js";
import type { ProxyConnection } from "./proxy-connection.js";

/** Messages without bytes in a row; one more counts as the end, or a service that never ends would hold its reader. */
const EMPTY_PIECES_MAX = 100;

export interface ProxyBlobReaderOptions {
  readonly connection: ProxyConnection;
  readonly digest: Digest;
  /** Bytes, as the service says. */
  readonly size: number;
  readonly signal: AbortSignal | undefined;
}

/** A stream of some range of the blob, with what has arrived and was not asked for yet. */
interface Run {
  position: number;
  /** Where the stream ends. */
  readonly limit: number;
  rest: Uint8Array;
  readonly pieces: AsyncIterator<{ readonly data: Uint8Array }>;
  end(): void;
}

/**
 * Reads a blob of the service. A read that goes on where the last one ended opens a stream to the end of the blob, and
 * the reads that follow it are served from there: one call a blob, not one a read.
 */
export class ProxyBlobReader implements BlobReader {
  readonly size: number;
  readonly #options: ProxyBlobReaderOptions;
  readonly #runs = new Set<Run>();
  /** At most one; taken out while a read uses it. */
  #idle: Run | undefined;
  #lastEnd = 0;
  #isClosed = false;

  constructor(options: ProxyBlobReaderOptions) {
    this.#options = options;
    this.size = options.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { connection, digest, signal } = this.#options;
    if (this.#isClosed) {
      throw failedPrecondition("Cannot read a blob: want an open reader, got a closed one", {
        subject: digest,
        reason: "reader-closed",
      });
    }
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (wanted === 0) return new Uint8Array();
    return await connection.call({ action: "read a blob", subject: digest, signal }, async () => {
      signal?.throwIfAborted();
      const run = this.#take(offset, wanted);
      try {
        const bytes = await this.#fill(run, wanted);
        this.#lastEnd = offset + wanted;
        this.#keep(run);
        return bytes;
      } catch (thrown) {
        this.#drop(run);
        throw thrown;
      }
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const run of this.#runs) this.#drop(run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(offset: number, wanted: number): Run {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle?.position === offset) return idle;
    if (idle !== undefined) this.#drop(idle);
    // Whoever reads on after the first read is likely to read all.
    const isSequence = offset > 0 && offset === this.#lastEnd;
    return this.#start(offset, isSequence ? this.size - offset : wanted);
  }

  #start(offset: number, length: number): Run {
    const { connection, digest, signal } = this.#options;
    const linked = linkSignals([signal]);
    const request = { digest, offset: BigInt(offset), size: BigInt(length) };
    const pieces = connection.client.read(request, connection.streamOptions(linked.signal));
    const run: Run = {
      position: offset,
      limit: offset + length,
      rest: new Uint8Array(),
      pieces: pieces[Symbol.asyncIterator](),
      end: () => {
        linked.abort();
        linked[Symbol.dispose]();
      },
    };
    this.#runs.add(run);
    return run;
  }

  async #fill(run: Run, wanted: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let missing = wanted;
    let empty = 0;
    while (missing > 0) {
      if (run.rest.length === 0) {
        const next = await this.#next(run);
        if (next.done || empty > EMPTY_PIECES_MAX) throw this.#short(wanted, wanted - missing);
        run.rest = next.value.data;
        empty = run.rest.length === 0 ? empty + 1 : 0;
      }
      const piece = run.rest.subarray(0, missing);
      run.rest = run.rest.subarray(piece.length);
      run.position += piece.length;
      missing -= piece.length;
      pieces.push(piece);
    }
    // The status comes after the last byte.
    if (run.position === run.limit) await this.#next(run);
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, wanted);
  }

  async #next(run: Run): Promise<IteratorResult<{ readonly data: Uint8Array }>> {
    const { connection, digest } = this.#options;
    const call = { action: "read a blob", subject: digest };
    return await connection.inTime(call, run.pieces.next(), () => run.end());
  }

  /** Keeps a stream that has more to give for the next read. */
  #keep(run: Run): void {
    const isSpent = run.position >= run.limit || this.#idle !== undefined || this.#isClosed;
    if (isSpent || !this.#runs.has(run)) this.#drop(run);
    else this.#idle = run;
  }

  #drop(run: Run): void {
    this.#runs.delete(run);
    if (this.#idle === run) this.#idle = undefined;
    run.end();
  }

  #short(wanted: number, actual: number): Error {
    return dataLoss(`Cannot read a blob: want ${wanted} bytes, got ${actual}`, {
      subject: this.#options.digest,
      reason: "blob-short",
    });
  }
}
