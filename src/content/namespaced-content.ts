import type { Digest } from "../bytes/index.js";
import { failedPrecondition, invalidArgument } from "../errors/index.js";
import type { Metadata } from "../metadata/index.js";
import type { ContentStore } from "./contract.js";
import type { NamespaceContext, NamespacedParts, SharingPolicy } from "./namespaced-rows.js";
import { NamespacedStore } from "./namespaced-store.js";
import { type ContentSweep, sweepContent } from "./namespaced-sweep.js";
import { PinnedNames } from "./pinned-names.js";

export interface NamespacedContentOptions {
  readonly metadata: Metadata;
  /** Has the bytes; nobody else may commit to it, since a sweep removes what no row leads to. */
  readonly store: ContentStore;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  /** `shared` as in containerd. */
  readonly policy?: SharingPolicy;
}

/** containerd's metadata layer of the content (core/metadata/content.go). */
export interface NamespacedContent {
  /** The store as a namespace sees it. @throws FAILED_PRECONDITION without a namespace; INVALID_ARGUMENT */
  for(context: NamespaceContext): ContentStore;
  /**
   * Removes blobs and ingests that no namespace has. Never one that a writer has, that is being adopted, or whose row
   * is being written. Sweeps run one after the other.
   */
  sweep(options?: { signal?: AbortSignal | undefined }): Promise<ContentSweep>;
}

/** Makes one store look like one for each namespace. */
export function namespacedContent(options: NamespacedContentOptions): NamespacedContent {
  const { metadata, store, now, policy = "shared" } = options;
  let adopted: Set<Digest> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const parts: NamespacedParts = {
    metadata,
    store,
    now,
    policy,
    pinnedBlobs: new PinnedNames(),
    pinnedRefs: new PinnedNames(),
    noteAdopted: (digest) => adopted?.add(digest),
  };
  const sweep = async (signal: AbortSignal | undefined): Promise<ContentSweep> => {
    adopted = new Set();
    try {
      return await sweepContent(parts, { signal, adopted });
    } finally {
      adopted = undefined;
    }
  };
  return {
    for: (context) => new NamespacedStore(parts, checkedContext(context)),
    sweep: async ({ signal } = {}) => {
      const next = last.then(async () => await sweep(signal));
      // The next sweep only waits for the end of this one.
      last = next.catch(() => undefined);
      return await next;
    },
  };
}

function checkedContext(context: NamespaceContext): NamespaceContext {
  const { namespace } = context;
  if (namespace === "") throw failedPrecondition("namespace is required", { reason: "namespace-missing" });
  if (namespace.includes("/")) {
    throw invalidArgument(`Cannot use namespace ${JSON.stringify(namespace)}: want a name without a slash`, {
      subject: namespace,
      reason: "namespace-invalid",
    });
  }
  return { namespace, lease: context.lease === "" ? undefined : context.lease };
}
