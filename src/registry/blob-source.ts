import type { Digest } from "../bytes/index.js";
import type { RequestPriority } from "./slots.js";

export interface RangeRequest {
  /** Bytes from the start of the blob. */
  readonly offset: number;
  readonly length: number;
  readonly signal?: AbortSignal | undefined;
  /** Whose turn it is where the host is asked for much; "pull" unless given. */
  readonly priority?: RequestPriority | undefined;
}

/**
 * Where the bytes of one blob come from. The bytes are not verified: whoever uses them checks them against a digest
 * and calls `distrust` on the origin of wrong ones.
 */
export interface BlobSource {
  readonly digest: Digest;
  /** Bytes of the whole blob. */
  readonly size: number;
  /** For people: `registry.example/library/python`. */
  readonly description: string;
  /**
   * Yields exactly `length` bytes in order, in pieces of any size. Retries, other mirrors and redirects happen inside;
   * a broken body is taken up where it stopped. @throws UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND,
   * DEADLINE_EXCEEDED, DATA_LOSS
   */
  readRange(request: RangeRequest): AsyncIterable<Buffer>;
  /** The bytes last had for this range were wrong: ask another mirror next time where there is one. */
  distrust(range: { readonly offset: number; readonly length: number }): void;
}
