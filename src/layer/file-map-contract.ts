import type { ReplayRange } from "./replay-contract.js";

/** A piece of a file, however the layer that has it is packed. Offsets and lengths in bytes. */
export interface FilePart {
  /** From the layer's root, without a slash in front; UTF-8. */
  readonly path: string;
  readonly fileSize: number;
  readonly offset: number;
  readonly length: number;
}

/** A piece of a file that lies in the range with this index. */
export interface FoundPart extends FilePart {
  readonly range: number;
}

/** What goes to the thread. */
export type FileMapQuery =
  | { readonly kind: "files"; readonly metaPath: string; readonly ranges: readonly ReplayRange[] }
  | { readonly kind: "ranges"; readonly metaPath: string; readonly files: readonly FilePart[] };

export type FileMapAnswer =
  | { readonly kind: "files"; readonly parts: readonly FoundPart[] }
  /** For each file that was asked for. */
  | { readonly kind: "ranges"; readonly ranges: readonly (ReplayRange | undefined)[] };
