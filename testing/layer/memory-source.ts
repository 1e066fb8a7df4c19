import { setTimeout as sleep } from "node:timers/promises";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { unavailable } from "../../src/errors/index.js";
import type { BlobSource, RangeRequest } from "../../src/registry/index.js";

/** One request that was made of the source. */
export interface SeenRequest {
  readonly offset: number;
  readonly length: number;
  /** Bytes handed out for it. */
  sent: number;
  isDone: boolean;
}

/** A blob in memory that counts what is asked of it and fails as it is told. */
export class MemorySource implements BlobSource {
  readonly digest: Digest;
  readonly size: number;
  readonly description = "memory.example/blob";
  readonly requests: SeenRequest[] = [];
  readonly distrusted: { readonly offset: number; readonly length: number }[] = [];
  /** Bytes of one piece. */
  pieceBytes = 16 * 1024;
  /** Milliseconds before each piece. */
  pieceDelayMs = 0;
  /** Every request fails. */
  isDown = false;
  /** Bytes that come wrong, for so many requests more. */
  wrong: { readonly offset: number; readonly length: number; times: number } | undefined;
  readonly #bytes: Buffer;
  #held: (() => void)[] | undefined;

  /** @param digest What it claims to be. */
  constructor(bytes: Buffer, digest = sha256(bytes)) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.digest = digest;
  }

  get fetchedBytes(): number {
    return this.requests.reduce((sum, request) => sum + request.sent, 0);
  }

  /** From now on each piece waits for `release`. */
  hold(): void {
    this.#held ??= [];
  }

  /** Lets so many pieces go; without a number, all, and holds no more. */
  release(pieces?: number): void {
    const held = this.#held ?? [];
    for (const go of held.splice(0, pieces ?? held.length)) go();
    if (pieces === undefined) this.#held = undefined;
  }

  async *readRange(request: RangeRequest): AsyncGenerator<Buffer> {
    const seen: SeenRequest = { offset: request.offset, length: request.length, sent: 0, isDone: false };
    this.requests.push(seen);
    const end = request.offset + request.length;
    const wrong = this.#takeWrong(request.offset, end);
    for (let at = request.offset; at < end; at += this.pieceBytes) {
      await this.#pause(request.signal);
      if (this.isDown) throw unavailable("Cannot read blob: the source is down", { reason: "source-down" });
      const piece = Buffer.from(this.#bytes.subarray(at, Math.min(end, at + this.pieceBytes)));
      if (wrong !== undefined) {
        for (let index = 0; index < piece.length; index += 1) {
          const place = at + index;
          if (place >= wrong.offset && place < wrong.offset + wrong.length) piece[index]! ^= 0xff;
        }
      }
      seen.sent += piece.length;
      yield piece;
    }
    seen.isDone = true;
  }

  distrust(range: { readonly offset: number; readonly length: number }): void {
    this.distrusted.push(range);
  }

  #takeWrong(offset: number, end: number): { offset: number; length: number } | undefined {
    const { wrong } = this;
    if (wrong === undefined || wrong.times === 0) return undefined;
    if (wrong.offset >= end || wrong.offset + wrong.length <= offset) return undefined;
    wrong.times -= 1;
    return wrong;
  }

  async #pause(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.pieceDelayMs > 0) await sleep(this.pieceDelayMs);
    const held = this.#held;
    if (held !== undefined) {
      await new Promise<void>((resolve, reject) => {
        held.push(resolve);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    }
    signal?.throwIfAborted();
  }
}
