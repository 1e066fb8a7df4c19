import { type Digest, parseDigest } from "../bytes/index.js";
import type { JsonValue } from "./record.js";
import type { Table } from "./table.js";

export type SnapshotRowKind = "view" | "active" | "committed";

export interface StoredUsage {
  /** Bytes on disk. */
  readonly size: number;
  readonly inodes: number;
}

/** What the layer of a snapshot is known to come from. */
export interface SnapshotOrigin {
  /** Image reference; "" where unknown. */
  readonly reference: string;
  readonly digest: Digest | undefined;
  /** Of the image; absent: nobody knows it. */
  readonly manifest?: Digest | undefined;
}

/** Why a layer that could have been lazy is an ordinary snapshot. */
export interface SnapshotFallback {
  readonly reason: string;
  readonly message: string;
  readonly hint: string | undefined;
}

export interface SnapshotRow {
  /** Names the folder `snapshots/<id>`; never used again. */
  readonly id: number;
  readonly name: string;
  /** "" for none. */
  readonly parent: string;
  readonly kind: SnapshotRowKind;
  /** Nanoseconds since 1970. */
  readonly createdAt: bigint;
  readonly updatedAt: bigint;
  readonly labels: Readonly<Record<string, string>>;
  /** Of a committed snapshot; zero for a lazy one, whose bytes the engine counts. */
  readonly usage: StoredUsage;
  /** Snapshots that have this one as their parent. */
  readonly childCount: number;
  /** The engine's layer that this snapshot is; undefined: an ordinary folder. */
  readonly layerDigest: Digest | undefined;
  /** What a lazy snapshot was committed for (a chain id); "" for others. */
  readonly target: string;
  readonly origin: SnapshotOrigin | undefined;
  readonly fallback: SnapshotFallback | undefined;
}

const rowFormat: Omit<Table<SnapshotRow>, "name"> = {
  encode: (row) => ({
    ...row,
    createdAt: String(row.createdAt),
    updatedAt: String(row.updatedAt),
    usage: { ...row.usage },
    origin: row.origin === undefined ? undefined : { ...row.origin },
    fallback: row.fallback === undefined ? undefined : { ...row.fallback },
  }),
  decode: (value) => {
    const stored = value as unknown as StoredRow;
    return {
      ...stored,
      createdAt: BigInt(stored.createdAt),
      updatedAt: BigInt(stored.updatedAt),
      layerDigest: optionalDigest(stored.layerDigest),
      origin:
        stored.origin === undefined
          ? undefined
          : {
              reference: stored.origin.reference,
              digest: optionalDigest(stored.origin.digest),
              ...(stored.origin.manifest !== undefined && { manifest: parseDigest(stored.origin.manifest) }),
            },
      fallback:
        stored.fallback === undefined ? undefined : { ...stored.fallback, hint: stored.fallback.hint },
    };
  },
};

/** Tables of one snapshotter. */
export interface SnapshotTables {
  readonly rows: Table<SnapshotRow>;
  /** Names of lazily committed snapshots by (id of the parent or 0, target): the wrapper asks for them that way. */
  readonly targets: Table<string>;
  /** Name of the counter with the last id. */
  readonly idCounter: string;
}

/** The tables of a snapshotter by its name; the lazy one's is "". */
export function snapshotTables(name: string): SnapshotTables {
  const suffix = name === "" ? "" : `:${name}`;
  return {
    rows: { ...rowFormat, name: `snapshots${suffix}` },
    targets: {
      name: `remote-targets${suffix}`,
      encode: (target) => target,
      decode: (value: JsonValue) => value as string,
    },
    idCounter: `snapshot-id${suffix}`,
  };
}

/** The lazy snapshotter's tables. */
export const { rows: snapshotRows, targets: remoteTargets } = snapshotTables("");

type StoredRow = Omit<SnapshotRow, "createdAt" | "updatedAt" | "layerDigest" | "origin"> & {
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly layerDigest?: string;
  readonly origin?: { readonly reference: string; readonly digest?: string; readonly manifest?: string };
};

function optionalDigest(text: string | undefined): Digest | undefined {
  return text === undefined ? undefined : parseDigest(text);
}
