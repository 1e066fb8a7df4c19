import type { Digest } from "../bytes/index.js";

/** What there is to know of the bytes that a processor is given. */
export interface ProcessorInput {
  /** Of the bytes. */
  readonly mediaType: string;
  /** Of the layer's blob, as its descriptor has it. */
  readonly digest: Digest;
  readonly size: number;
  /** `org.opencontainers.image.enc.*` of the descriptor. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly bytes: AsyncIterable<Buffer>;
  /** What a client gives programs, by their names: a serialized `google.protobuf.Any` each, in place of our own. */
  readonly payloads?: Readonly<Record<string, Uint8Array>> | undefined;
  readonly signal: AbortSignal;
}

/**
 * Turns bytes of one media type into bytes of another, as containerd's stream processors do: what is encrypted into an
 * archive, for instance.
 */
export interface StreamProcessor {
  /** For people. */
  readonly name: string;
  /** The media type that comes out; undefined: it does not take this one. */
  returns(mediaType: string): string | undefined;
  /**
   * Reads `bytes` to their end, but not before somebody reads what it yields, and no faster. What it has yielded may be
   * wrong until it ends without an error: nothing of it may be used before.
   */
  run(input: ProcessorInput): AsyncIterable<Buffer>;
}
