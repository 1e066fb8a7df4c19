import {
  containers,
  contents,
  images,
  ingests,
  type KeyParts,
  leaseResources,
  leases,
  type Metadata,
  namespacedSnapshots,
  sandboxes,
  type Table,
  type Transaction,
} from "../metadata/index.js";
import type { Sort } from "./labels.js";
import {
  containerFacts,
  contentFacts,
  type FactContext,
  imageFacts,
  ingestFacts,
  leaseFacts,
  leaseResourceFacts,
  type NodeFacts,
  sandboxFacts,
  snapshotFacts,
} from "./node-facts.js";

/** The name of a node. */
export interface NodePlace {
  readonly namespace: string;
  readonly sort: Sort;
  readonly key: string;
}

export interface FoundRow {
  readonly rowKey: KeyParts;
  readonly facts: NodeFacts;
}

/** One table's part in the graph. */
export interface RowKind {
  readonly tableName: string;
  /** False for rows that only say something about the node of another row. */
  readonly isNode: boolean;
  place(rowKey: KeyParts): NodePlace;
  page(
    metadata: Metadata,
    place: { readonly after: KeyParts | undefined; readonly limit: number; readonly context: FactContext },
  ): FoundRow[];
  /** The facts of one row as the action sees them; undefined when there is none. */
  read(reader: Pick<Transaction, "get">, rowKey: KeyParts, context: FactContext): NodeFacts | undefined;
  /** @returns whether there was a row */
  remove(transaction: Transaction, rowKey: KeyParts): boolean;
}

function rowKind<Value>(options: {
  readonly table: Table<Value>;
  readonly isNode?: boolean;
  readonly place: (rowKey: KeyParts) => NodePlace;
  readonly facts: (row: Value, context: FactContext) => NodeFacts;
}): RowKind {
  const { table, place, facts } = options;
  return {
    tableName: table.name,
    isNode: options.isNode ?? true,
    place,
    page: (metadata, { after, limit, context }) =>
      metadata
        .page(table, [], { after, limit })
        .map(({ key, value }) => ({ rowKey: key, facts: facts(value, context) })),
    read: (reader, rowKey, context) => {
      const row = reader.get(table, rowKey);
      return row === undefined ? undefined : facts(row, context);
    },
    remove: (transaction, rowKey) => {
      if (transaction.get(table, rowKey) === undefined) return false;
      transaction.delete(table, rowKey);
      return true;
    },
  };
}

function named(sort: Sort): (rowKey: KeyParts) => NodePlace {
  return ([namespace, key]) => ({ namespace: String(namespace), sort, key: String(key) });
}

const snapshotSorts = new Map<string, Sort>();

/** All rows that the graph is made of; a collection reads the tables in this order. */
export const rowKinds: readonly RowKind[] = [
  rowKind({ table: leases, place: named("lease"), facts: leaseFacts }),
  rowKind({ table: leaseResources, isNode: false, place: named("lease"), facts: leaseResourceFacts }),
  rowKind({ table: images, place: named("image"), facts: imageFacts }),
  rowKind({ table: containers, place: named("container"), facts: containerFacts }),
  rowKind({ table: sandboxes, place: named("sandbox"), facts: sandboxFacts }),
  rowKind({ table: ingests, place: named("ingest"), facts: ingestFacts }),
  rowKind({
    table: namespacedSnapshots,
    place: ([namespace, snapshotter, key]) => ({
      namespace: String(namespace),
      sort: snapshotSort(String(snapshotter)),
      key: String(key),
    }),
    facts: snapshotFacts,
  }),
  rowKind({ table: contents, place: named("content"), facts: contentFacts }),
];

const kindsBySort = new Map(
  rowKinds.filter((kind) => kind.isNode).map((kind) => [typeWord(kind.place(["", "", ""]).sort), kind]),
);

/** One text for all snapshots of a snapshotter. There are few snapshotters. */
function snapshotSort(snapshotter: string): Sort {
  let sort = snapshotSorts.get(snapshotter);
  if (sort === undefined) {
    sort = `snapshot/${snapshotter}`;
    snapshotSorts.set(snapshotter, sort);
  }
  return sort;
}

function typeWord(sort: Sort): string {
  const slash = sort.indexOf("/");
  return slash < 0 ? sort : sort.slice(0, slash);
}

/** The kind of row and the row's key that a node has; undefined for resources, which have none. */
export function rowOf({ namespace, sort, key }: NodePlace): { kind: RowKind; rowKey: KeyParts } | undefined {
  const kind = kindsBySort.get(typeWord(sort));
  if (kind === undefined) return undefined;
  const isSnapshot = sort.startsWith("snapshot/");
  const rowKey = isSnapshot ? [namespace, sort.slice("snapshot/".length), key] : [namespace, key];
  return { kind, rowKey };
}
