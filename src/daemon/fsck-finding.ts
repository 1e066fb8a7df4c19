/** What can be wrong with a root, by stable words. */
export type FindingKind =
  | "record-damaged"
  | "blob-missing"
  | "blob-damaged"
  | "blob-orphan"
  | "row-size-wrong"
  | "ingest-stale"
  | "image-target-missing"
  | "label-target-missing"
  | "lease-resource-missing"
  | "lease-missing"
  | "container-snapshot-missing"
  | "snapshot-missing"
  | "snapshot-parent-missing"
  | "snapshot-folder-missing"
  | "snapshot-layer-missing"
  | "snapshot-folder-orphan"
  | "snapshot-child-count"
  | "file-unknown";

/**
 * `damage`: something that was promised is not there. `leftover`: harmless, costs room. `note`: also in a sound root,
 * such as the layers of an image that is pulled lazily.
 */
export type FindingSeverity = "damage" | "leftover" | "note";

export interface Finding {
  readonly kind: FindingKind;
  readonly severity: FindingSeverity;
  /** The thing: a digest, a path, `<namespace>/<name>`. */
  readonly subject: string;
  readonly detail: string;
  /** What an operator can do, or what `--repair` does. */
  readonly wayOut: string;
  /** undefined: only an operator can decide. Durable when it resolves. */
  readonly repair: (() => Promise<void>) | undefined;
}
