import type { Digest } from "../bytes/index.js";
import type { BlobReader, ContentStore, Labels, Nanoseconds } from "../content/index.js";
import type { MountSpec } from "../mounts/index.js";

/** What a layer is known by, as `types.Descriptor` has it. */
export interface LayerDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ApplyLayer {
  readonly layer: LayerDescriptor;
  readonly blob: Pick<BlobReader, "size" | "read">;
  /** Of the snapshot that the layer becomes. */
  readonly mounts: readonly MountSpec[];
  /** For stream processors, by their names: a serialized `google.protobuf.Any` each. */
  readonly payloads?: Readonly<Record<string, Uint8Array>> | undefined;
  /** Whether the file system is synced before it is done. */
  readonly syncFs: boolean;
  readonly signal: AbortSignal;
}

export interface CompareTrees {
  readonly lower: readonly MountSpec[];
  readonly upper: readonly MountSpec[];
  /** "" is a layer in gzip; else OCI's layer in tar, gzip or zstd. */
  readonly mediaType: string;
  /** Of the ingest; "" for one of its own. */
  readonly ref: string;
  readonly labels: Labels;
  /** No time in the layer is later, and what was deleted has this one. */
  readonly sourceDateEpoch?: Nanoseconds | undefined;
  readonly content: ContentStore;
  readonly signal: AbortSignal;
}

/** containerd's applier and comparer of layers. */
export interface LayerDiffer {
  /**
   * Unpacks a layer: an overlay's upper folder gets overlayfs' own whiteouts, other mounts lose what the layer hides.
   * @returns the descriptor of the uncompressed archive
   * @throws DATA_LOSS `blob-digest-mismatch`, before anything is made; INVALID_ARGUMENT `stream-*`, `tar-*`,
   *   `layer-unappliable`; FAILED_PRECONDITION `stream-processor-*`; RESOURCE_EXHAUSTED `no-space`; as mountAll()
   */
  apply(request: ApplyLayer): Promise<LayerDescriptor>;
  /**
   * Writes what `upper` has changed of `lower` into the store, with the label `containerd.io/uncompressed`.
   * @throws UNIMPLEMENTED `media-type-unsupported`; FAILED_PRECONDITION `tree-changed`; as mountAll() and the store
   */
  compare(request: CompareTrees): Promise<LayerDescriptor>;
}
