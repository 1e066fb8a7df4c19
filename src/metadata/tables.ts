import type { Digest } from "../bytes/index.js";
import type { KeyParts } from "./key.js";
import type { JsonValue } from "./record.js";
import type {
  AnyValue,
  ContainerRow,
  ContentRow,
  ImageRow,
  IngestRow,
  Labels,
  LeaseResource,
  LeaseRow,
  NamespacedSnapshotRow,
  NamespaceRow,
  SandboxRow,
} from "./rows.js";
import type { Table } from "./table.js";

/** Keys: the names in each table's note, in this order. Times are decimal texts: JSON's numbers lose nanoseconds. */

/** `[name]` */
export const namespaces: Table<NamespaceRow> = {
  name: "namespaces",
  encode: ({ labels }) => labels,
  decode: (value, key) => ({ name: part(key, 0), labels: value as Labels }),
};

/** `[namespace, name]` */
export const images: Table<ImageRow> = {
  name: "images",
  encode: (row) => ({ ...encodeTimes(row), labels: row.labels, target: { ...row.target } }),
  decode: (value, key) => {
    const stored = value as unknown as StoredTimes & Pick<ImageRow, "labels" | "target">;
    const { labels, target } = stored;
    return { namespace: part(key, 0), name: part(key, 1), labels, target, ...decodeTimes(stored) };
  },
};

/** `[namespace, digest]` */
export const contents: Table<ContentRow> = {
  name: "contents",
  encode: (row) => ({ ...encodeTimes(row), labels: row.labels, size: row.size }),
  decode: (value, key) => {
    const stored = value as unknown as StoredTimes & Pick<ContentRow, "labels" | "size">;
    const { labels, size } = stored;
    return {
      namespace: part(key, 0),
      digest: part(key, 1) as Digest,
      labels,
      size,
      createdAt: BigInt(stored.createdAt),
      updatedAt: BigInt(stored.updatedAt),
    };
  },
};

/** `[namespace, ref]` */
export const ingests: Table<IngestRow> = {
  name: "ingests",
  encode: ({ storeRef, expected, expireAt }) => ({
    storeRef,
    expected,
    expireAt: expireAt === undefined ? undefined : String(expireAt),
  }),
  decode: (value, key) => {
    const { storeRef, expected, expireAt } = value as unknown as StoredIngest;
    return {
      namespace: part(key, 0),
      ref: part(key, 1),
      storeRef,
      expected,
      expireAt: expireAt === undefined ? undefined : BigInt(expireAt),
    };
  },
};

/** `[namespace, id]` */
export const leases: Table<LeaseRow> = {
  name: "leases",
  encode: ({ labels, createdAt }) => ({ labels, createdAt: String(createdAt) }),
  decode: (value, key) => {
    const { labels, createdAt } = value as unknown as Pick<LeaseRow, "labels"> & { createdAt: string };
    return { namespace: part(key, 0), id: part(key, 1), labels, createdAt: BigInt(createdAt) };
  },
};

/** `[namespace, lease, type, id]` */
export const leaseResources: Table<LeaseResource> = {
  name: "lease-resources",
  encode: () => 0,
  decode: (_, key) => ({ type: part(key, 2), id: part(key, 3) }),
};

/** `[namespace, snapshotter, key]` */
export const namespacedSnapshots: Table<NamespacedSnapshotRow> = {
  name: "namespaced-snapshots",
  encode: (row) => ({
    ...encodeTimes(row),
    labels: row.labels,
    storeKey: row.storeKey,
    parent: row.parent,
  }),
  decode: (value, key) => {
    const stored = value as unknown as StoredTimes &
      Pick<NamespacedSnapshotRow, "labels" | "storeKey" | "parent">;
    const { labels, storeKey, parent } = stored;
    return {
      namespace: part(key, 0),
      snapshotter: part(key, 1),
      key: part(key, 2),
      labels,
      storeKey,
      parent,
      ...decodeTimes(stored),
    };
  },
};

/** `[namespace, id]` */
export const containers: Table<ContainerRow> = {
  name: "containers",
  encode: (row) => ({
    ...encodeTimes(row),
    ...encodeWorkload(row),
    image: row.image,
    snapshotter: row.snapshotter,
    snapshotKey: row.snapshotKey,
    sandboxId: row.sandboxId,
  }),
  decode: (value, key) => {
    const stored = value as unknown as StoredTimes &
      StoredWorkload &
      Pick<ContainerRow, "image" | "snapshotter" | "snapshotKey" | "sandboxId">;
    const { image, snapshotter, snapshotKey, sandboxId } = stored;
    return {
      namespace: part(key, 0),
      id: part(key, 1),
      image,
      snapshotter,
      snapshotKey,
      sandboxId,
      ...decodeWorkload(stored),
      ...decodeTimes(stored),
    };
  },
};

/** `[namespace, id]` */
export const sandboxes: Table<SandboxRow> = {
  name: "sandboxes",
  encode: (row) => ({ ...encodeTimes(row), ...encodeWorkload(row), sandboxer: row.sandboxer }),
  decode: (value, key) => {
    const stored = value as unknown as StoredTimes & StoredWorkload & Pick<SandboxRow, "sandboxer">;
    return {
      namespace: part(key, 0),
      id: part(key, 1),
      sandboxer: stored.sandboxer,
      ...decodeWorkload(stored),
      ...decodeTimes(stored),
    };
  },
};

interface StoredTimes {
  readonly createdAt: string;
  readonly updatedAt: string;
}

interface StoredIngest {
  readonly storeRef: string;
  readonly expected?: Digest;
  readonly expireAt?: string;
}

/** `[type URL, value in base64]` */
type StoredAny = readonly [string, string];

type Workload = Pick<ContainerRow, "labels" | "runtime" | "spec" | "extensions">;

interface StoredWorkload {
  readonly labels: Labels;
  readonly runtime: { readonly name: string; readonly options?: StoredAny };
  readonly spec?: StoredAny;
  readonly extensions: Readonly<Record<string, StoredAny>>;
}

function part(key: KeyParts, index: number): string {
  return String(key[index]);
}

function encodeTimes(row: { readonly createdAt: bigint; readonly updatedAt: bigint }) {
  return { createdAt: String(row.createdAt), updatedAt: String(row.updatedAt) };
}

function decodeTimes(stored: StoredTimes): { readonly createdAt: bigint; readonly updatedAt: bigint } {
  return { createdAt: BigInt(stored.createdAt), updatedAt: BigInt(stored.updatedAt) };
}

function encodeWorkload({ labels, runtime, spec, extensions }: Workload): {
  [key: string]: JsonValue | undefined;
} {
  return {
    labels,
    runtime: { name: runtime.name, options: encodeAny(runtime.options) },
    spec: encodeAny(spec),
    extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, encodeAny(any)])),
  };
}

function decodeWorkload({ labels, runtime, spec, extensions }: StoredWorkload): Workload {
  return {
    labels,
    runtime: { name: runtime.name, options: decodeAny(runtime.options) },
    spec: decodeAny(spec),
    extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, decodeAny(any)!])),
  };
}

function encodeAny(any: AnyValue | undefined): StoredAny | undefined {
  return any === undefined ? undefined : [any.typeUrl, Buffer.from(any.value).toString("base64")];
}

function decodeAny(stored: StoredAny | undefined): AnyValue | undefined {
  if (stored === undefined) return undefined;
  // A copy: small buffers share their memory with others.
  return { typeUrl: stored[0], value: new Uint8Array(Buffer.from(stored[1], "base64")) };
}
