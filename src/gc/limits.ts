/** How finely a collection is cut, so that others get their turn. */
export interface CollectionLimits {
  /** Rows of one read. */
  readonly pageRows: number;
  /** Rows of one removing action, in which other writers wait. */
  readonly batchRows: number;
  /** Longest work before others get the event loop. */
  readonly sliceMs: number;
  /** Rows written by others meanwhile that may wait to be looked at; beyond it they are, in an action of our own. */
  readonly changedRowsMax: number;
}

/** A page and a batch take a few milliseconds each. */
export const collectionLimits: CollectionLimits = {
  pageRows: 500,
  batchRows: 500,
  sliceMs: 5,
  changedRowsMax: 500,
};
