import type { Digest } from "../bytes/index.js";
import type { TocDialect } from "../estargz/index.js";
import type { SpanRange } from "../soci/index.js";

/** What a thread is sent in place of an index, to rehearse; it has no answer. */
export const REHEARSE = "rehearse";

/** What a layer is compiled from, in a form that goes to another thread. */
export type CompileInput =
  | EstargzInput
  | ZstdChunkedInput
  | FineInput
  | SociInput
  | WholeInput
  | ArchiveInput;

export interface EstargzInput {
  readonly format: "estargz";
  readonly toc: Uint8Array;
  readonly blobSize: number;
  readonly payloadEnd: number;
}

export interface ZstdChunkedInput extends Omit<EstargzInput, "format"> {
  readonly format: "zstdchunked";
  readonly dialect: TocDialect;
}

export interface FineInput {
  readonly format: "fine";
  readonly table: Uint8Array;
  /** What its packed tree decodes to. */
  readonly headers: Uint8Array;
  readonly layer: Digest;
  readonly blobSize: number;
}

export interface SociInput {
  readonly format: "soci";
  readonly ztoc: Uint8Array;
  readonly digest: Digest;
  readonly blobSize: number;
  /** Spans that are read first, where anybody said so. */
  readonly prefetch: readonly SpanRange[] | undefined;
}

export interface WholeInput {
  readonly format: "whole";
  /** Of the blob. */
  readonly codec: "gzip" | "zstd" | "raw";
  /** A file with the uncompressed archive. */
  readonly dataPath: string;
  readonly dataSize: number;
  readonly blobSize: number;
  /** As the native StreamIndexer gave them. */
  readonly spans: Uint8Array;
  readonly windows: Uint8Array;
  readonly tarHeaders: Uint8Array;
}

/** A complete archive, to compare with what an index said of it. Its units are not asked for. */
export interface ArchiveInput {
  readonly format: "archive";
  readonly dataPath: string;
  readonly dataSize: number;
  readonly blobSize: number;
  /** Digest that the archive must have. */
  readonly diffId: Digest;
}
