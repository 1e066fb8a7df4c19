import type { CancellableCall } from "./binding.js";

export interface UnpackLayerOptions {
  /** Folder in which files are made. */
  readonly root: string;
  /** The uncompressed archive, read at offsets; duplicated. */
  readonly archiveFd: number;
  /** Markers become overlayfs' own form; else what they hide is deleted. */
  readonly isOverlay: boolean;
  /** Folders of the layers below, uppermost first: what a folder without an entry looks like. */
  readonly parents: readonly string[];
  /** As native/core/layer_entry.h reads them. */
  readonly records: Uint8Array;
}

export interface TreeChangesOptions {
  readonly lower: string;
  readonly upper: string;
  /** An overlay's upper folder over the layers of `lower`: only its names are looked at. */
  readonly guide: string | undefined;
}

export interface AssembleArchiveOptions {
  /** Where the paths of the records are. */
  readonly root: string;
  /** Written from where it stands; duplicated. */
  readonly archiveFd: number;
  /** As native/core/archive_assembly.h reads them. */
  readonly records: Uint8Array;
}

/** Trees and layers, each in one go off the JS thread. Errors have the name in question as their `detail`. */
export interface NativeLayerFiles {
  unpack(options: UnpackLayerOptions): CancellableCall<void>;
  /** As native/core/tree_changes.h writes them. */
  changes(options: TreeChangesOptions): CancellableCall<Buffer>;
  /** Fails with ESTALE where a file became shorter. */
  assemble(options: AssembleArchiveOptions): CancellableCall<void>;
}
