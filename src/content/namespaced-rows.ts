import type { Digest } from "../bytes/index.js";
import { invalidArgument, LazuliError, notFound } from "../errors/index.js";
import type { FieldReader } from "../filters/index.js";
import {
  attachLease,
  type ContentRow,
  leaseResources,
  type Metadata,
  type Transaction,
} from "../metadata/index.js";
import type { ContentInfo, ContentStore, Labels, UpdateContent } from "./contract.js";
import type { PinnedNames } from "./pinned-names.js";

/** `shared`: a namespace has a blob by knowing its digest. `isolated`: it must bring the bytes. */
export type SharingPolicy = "shared" | "isolated";

/** Who calls: a namespace, and the lease that what is made belongs to. */
export interface NamespaceContext {
  readonly namespace: string;
  readonly lease?: string | undefined;
}

/** What the namespaces of one store have in common. */
export interface NamespacedParts {
  readonly metadata: Metadata;
  readonly store: ContentStore;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  readonly policy: SharingPolicy;
  /** Digests of blobs that a row is being written for. */
  readonly pinnedBlobs: PinnedNames;
  /** Refs of the store that have a writer. */
  readonly pinnedRefs: PinnedNames;
  /** Says that an ingest row leads to the blob from now on. */
  readonly noteAdopted: (digest: Digest) => void;
}

const LABEL_PREFIX = "labels.";

/** Bytes of a label's key and value together (containerd pkg/labels). */
const LABEL_BYTES_MAX = 4096;

/** Longest ref in bytes of UTF-8: it is part of a key of the metadata, which ends at 1978 bytes. */
const REF_BYTES_MAX = 1024;

/** The messages are containerd's (core/metadata/content.go): clients see them. */
export function contentMissing(digest: Digest): LazuliError {
  return notFound(`content digest ${digest}`, { subject: digest, reason: "content-missing" });
}

export function referenceMissing(ref: string): LazuliError {
  return notFound(`reference ${ref}`, { subject: ref, reason: "ingest-missing" });
}

export function hasCode(thrown: unknown, code: LazuliError["code"]): boolean {
  return thrown instanceof LazuliError && thrown.code === code;
}

/** @throws INVALID_ARGUMENT */
export function checkRef(ref: string): void {
  if (ref === "") throw invalidArgument("ref must not be empty", { reason: "ref-invalid" });
  const bytes = Buffer.byteLength(ref);
  if (bytes <= REF_BYTES_MAX && !ref.includes("\0")) return;
  throw invalidArgument(`Cannot open an ingest: want a ref of at most ${REF_BYTES_MAX} bytes, got ${bytes}`, {
    reason: "ref-invalid",
  });
}

/** Labels as they are stored: none with an empty value. @throws INVALID_ARGUMENT when one is too long */
export function checkedLabels(labels: Labels): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(labels)) {
    if (Buffer.byteLength(key) + Buffer.byteLength(value) > LABEL_BYTES_MAX) {
      throw invalidArgument(
        `info.Labels: label key and value greater than maximum size (${LABEL_BYTES_MAX} bytes), key: ${key.slice(0, 10)}`,
        { reason: "label-too-long" },
      );
    }
    if (value !== "") kept[key] = value;
  }
  return kept;
}

/** @throws INVALID_ARGUMENT for a field that can't change */
export function updatedLabels(labels: Labels, update: UpdateContent): Labels {
  if (update.fieldPaths.length === 0) return update.labels;
  let changed: Record<string, string> = { ...labels };
  for (const path of update.fieldPaths) {
    if (path === "labels") changed = { ...update.labels };
    else if (path.startsWith(LABEL_PREFIX)) {
      const key = path.slice(LABEL_PREFIX.length);
      changed[key] = Object.hasOwn(update.labels, key) ? update.labels[key]! : "";
    } else {
      throw invalidArgument(
        `cannot update ${JSON.stringify(path)} field on content info ${JSON.stringify(update.digest)}`,
        { subject: update.digest, reason: "field-fixed" },
      );
    }
  }
  return changed;
}

export function infoOfRow(row: ContentRow): ContentInfo {
  const { digest, size, createdAt, updatedAt, labels } = row;
  return { digest, size, createdAt, updatedAt, labels };
}

/** The fields that filters know: `digest`, `size`, `labels.<key>`. */
export function fieldsOfInfo(info: ContentInfo): FieldReader {
  return ([field, ...rest]) => {
    switch (field) {
      case "digest":
        return info.digest;
      case "size":
        return String(info.size);
      case "labels":
        return Object.hasOwn(info.labels, rest.join(".")) ? info.labels[rest.join(".")] : undefined;
      default:
        return undefined;
    }
  };
}

type LeasedType = "content" | "ingests";

/** Adds to the caller's lease, where it has one. @returns whether it has @throws NOT_FOUND */
export function leaseTo(
  transaction: Transaction,
  context: NamespaceContext,
  resource: { readonly type: LeasedType; readonly id: string },
): boolean {
  const { namespace, lease } = context;
  if (lease === undefined) return false;
  attachLease(transaction, { namespace, lease, resource });
  return true;
}

export function unleaseFrom(
  transaction: Transaction,
  context: NamespaceContext,
  resource: { readonly type: LeasedType; readonly id: string },
): void {
  const { namespace, lease } = context;
  if (lease === undefined) return;
  transaction.delete(leaseResources, [namespace, lease, resource.type, resource.id]);
}
