import type { Digest } from "../bytes/index.js";

/**
 * What became of a layer: `converted` now; `indexed`, which stays as it is and has a zTOC now; `reused`, which an earlier run made and which is at the target; `passed`, which
 * has the format already; `kept` as it is for the reason in `note`.
 */
export type LayerAction = "converted" | "indexed" | "reused" | "passed" | "kept";

export interface LayerReport {
  readonly source: Digest;
  readonly target: Digest;
  readonly action: LayerAction;
  readonly sourceBytes: number;
  readonly targetBytes: number;
  /** A stable word; of `kept` layers. */
  readonly note: string | undefined;
}

export interface ManifestReport {
  /** `linux/amd64`; "" where nothing tells. */
  readonly platform: string;
  readonly source: Digest;
  readonly target: Digest;
  readonly layers: readonly LayerReport[];
}

export interface ConvertReport {
  /** What the target's name stands for now. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly manifests: readonly ManifestReport[];
  /** The image that has the TOCs of the layers, where they lie in one. */
  readonly tocImage: Digest | undefined;
}

export type ConvertEvent =
  /** So many more layers have to be looked at. */
  | { readonly kind: "found"; readonly layers: number; readonly bytes: number }
  | { readonly kind: "began"; readonly layer: Digest; readonly bytes: number }
  /** Since the last event of the layer. */
  | { readonly kind: "progress"; readonly layer: Digest; readonly bytesIn: number; readonly bytesOut: number }
  | ({ readonly kind: "ended" } & LayerReport)
  | { readonly kind: "named"; readonly digest: Digest };
