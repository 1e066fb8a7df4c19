import type { Digest } from "../bytes/index.js";

/** Nanoseconds since 1970. */
type Nanoseconds = bigint;

export type Labels = Readonly<Record<string, string>>;

/** What every row of a namespace has. */
interface Row {
  readonly namespace: string;
  readonly labels: Labels;
  readonly createdAt: Nanoseconds;
  readonly updatedAt: Nanoseconds;
}

export interface NamespaceRow {
  readonly name: string;
  readonly labels: Labels;
}

/** OCI descriptor as the images service stores it. */
export interface TargetDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations: Labels;
}

export interface ImageRow extends Row {
  readonly name: string;
  readonly target: TargetDescriptor;
}

/** A blob as one namespace sees it; its bytes lie in the store once for all. */
export interface ContentRow extends Row {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface IngestRow {
  readonly namespace: string;
  readonly ref: string;
  /** The ref in the store below, the same for no two namespaces. */
  readonly storeRef: string;
  readonly expected: Digest | undefined;
  /** Not a root of the collection from then on; undefined: a root only while a lease has it. */
  readonly expireAt: Nanoseconds | undefined;
}

export interface LeaseRow {
  readonly namespace: string;
  readonly id: string;
  readonly labels: Labels;
  readonly createdAt: Nanoseconds;
}

/** `content`, `ingests`, `images` or `snapshots/<snapshotter>`, as in `containerd.services.leases.v1.Resource`. */
export interface LeaseResource {
  readonly type: string;
  readonly id: string;
}

/** A snapshot of one namespace in front of a snapshotter that knows no namespaces. */
export interface NamespacedSnapshotRow extends Row {
  readonly snapshotter: string;
  readonly key: string;
  /** The name in the snapshotter below. */
  readonly storeKey: string;
  /** Key of this namespace; "" for none. */
  readonly parent: string;
}

/** A protobuf Any, its bytes in base64 on disk. */
export interface AnyValue {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export interface ContainerRow extends Row {
  readonly id: string;
  readonly image: string;
  readonly runtime: { readonly name: string; readonly options: AnyValue | undefined };
  readonly spec: AnyValue | undefined;
  readonly snapshotter: string;
  readonly snapshotKey: string;
  readonly extensions: Readonly<Record<string, AnyValue>>;
  readonly sandboxId: string;
}

export interface SandboxRow extends Row {
  readonly id: string;
  readonly sandboxer: string;
  readonly runtime: { readonly name: string; readonly options: AnyValue | undefined };
  readonly spec: AnyValue | undefined;
  readonly extensions: Readonly<Record<string, AnyValue>>;
}
