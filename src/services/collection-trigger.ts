/** The garbage collector as a client's request sees it. */
export interface CollectionTrigger {
  /** Resolves when a collection that began after the call has ended. */
  scheduleAndWait(options: { readonly signal: AbortSignal }): Promise<unknown>;
}
