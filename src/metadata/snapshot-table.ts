import type { Digest } from "../bytes/index.js";
import {
  alreadyExists,
  failedPrecondition,
  invalidArgument,
  LazuliError,
  notFound,
} from "../errors/index.js";
import type { Metadata } from "./metadata.js";
import {
  deleteRow,
  insertRow,
  missing,
  requireFree,
  requireParent,
  requireRow,
  type SnapshotChange,
  type SnapshotView,
  storedLabels,
  TARGET_LABEL,
} from "./snapshot-changes.js";
import {
  type SnapshotFallback,
  type SnapshotOrigin,
  type SnapshotRow,
  type SnapshotRowKind,
  type SnapshotTables,
  type StoredUsage,
  snapshotTables,
} from "./snapshot-row.js";
import { counters } from "./table.js";

export interface SnapshotTableOptions {
  readonly metadata: Metadata;
  /** Name of the snapshotter whose rows these are; "" for the lazy one. */
  readonly name: string;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  /** Ids up to this one are taken by folders that may have no row. */
  readonly idTaken: number;
}

export interface NewSnapshot {
  readonly id: number;
  readonly name: string;
  readonly parent: string;
  readonly kind: Exclude<SnapshotRowKind, "committed">;
  readonly labels: Readonly<Record<string, string>>;
  readonly origin: SnapshotOrigin | undefined;
  readonly fallback: SnapshotFallback | undefined;
}

export interface NewLazySnapshot {
  readonly key: string;
  readonly target: string;
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly layerDigest: Digest;
  readonly origin: SnapshotOrigin;
}

export interface CommittedSnapshot {
  readonly key: string;
  readonly name: string;
  /** "" keeps the parent of the key. */
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly usage: StoredUsage;
}

const noUsage: StoredUsage = { size: 0, inodes: 0 };

/**
 * The rows of all snapshots with the rules of containerd's storage (core/snapshots/storage): who may be a parent, what
 * may be committed or removed, and the errors for the rest. Every change is durable when its promise resolves.
 */
export class SnapshotTable {
  readonly #metadata: Metadata;
  readonly #tables: SnapshotTables;
  readonly #now: () => bigint;
  #lastId: number;

  constructor(options: SnapshotTableOptions) {
    this.#metadata = options.metadata;
    this.#tables = snapshotTables(options.name);
    this.#now = options.now;
    this.#lastId = Math.max(options.metadata.get(counters, this.#tables.idCounter) ?? 0, options.idTaken);
  }

  find(name: string): SnapshotRow | undefined {
    return this.#metadata.get(this.#tables.rows, name);
  }

  /** @throws NOT_FOUND */
  get(name: string): SnapshotRow {
    const row = this.find(name);
    if (row === undefined) throw missing(name);
    return row;
  }

  /** All rows in name order. */
  rows(): SnapshotRow[] {
    return this.#metadata.values(this.#tables.rows);
  }

  /** A parent and its ancestors, nearest first; none for "". @throws NOT_FOUND */
  ancestors(parent: string): SnapshotRow[] {
    const chain: SnapshotRow[] = [];
    for (let name = parent; name !== ""; name = chain.at(-1)!.parent) chain.push(this.get(name));
    return chain;
  }

  /** An id for a folder that is made before its row. */
  allocateId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** Checks what `create` will check, before work is spent on it. @throws as `create` */
  checkNew(key: string, parent: string): void {
    const view = { transaction: this.#metadata, tables: this.#tables };
    requireFree(view, key);
    requireParent(view, parent);
  }

  /** @throws ALREADY_EXISTS, NOT_FOUND, INVALID_ARGUMENT */
  async create(snapshot: NewSnapshot): Promise<SnapshotRow> {
    return await this.#write((change) => {
      requireFree(change, snapshot.name);
      const parent = requireParent(change, snapshot.parent);
      return this.#insert(change, { ...snapshot, layerDigest: undefined, target: "" }, parent);
    });
  }

  /** The lazily committed snapshot that stands for a target on a parent. */
  findRemote(target: string, parent: string): SnapshotRow | undefined {
    const parentId = parent === "" ? 0 : this.find(parent)?.id;
    if (parentId === undefined) return undefined;
    const name = this.#metadata.get(this.#tables.targets, [parentId, target]);
    const row = name === undefined ? undefined : this.find(name);
    return row?.labels[TARGET_LABEL] === target ? row : undefined;
  }

  /**
   * Commits a layer of the engine under its target. The name is the target, or where that is taken (another parent)
   * one made from it: containerd finds the snapshot by its label and parent. @returns the row, new or from before
   * @throws FAILED_PRECONDITION when another layer stands for the target already; and as `create`
   */
  async createLazy(snapshot: NewLazySnapshot): Promise<SnapshotRow> {
    const { key, target, layerDigest } = snapshot;
    return await this.#write((change) => {
      requireFree(change, key);
      const parent = requireParent(change, snapshot.parent);
      const place: [number, string] = [parent?.id ?? 0, target];
      const known = change.transaction.get(change.tables.targets, place);
      const present = known === undefined ? undefined : change.transaction.get(change.tables.rows, known);
      if (present?.labels[TARGET_LABEL] === target) {
        if (present.layerDigest === layerDigest) return present;
        throw targetTaken(target);
      }
      const id = this.allocateId();
      const isFree = change.transaction.get(change.tables.rows, target) === undefined;
      const name = isFree ? target : `${target} ${id}`;
      requireFree(change, name);
      change.transaction.put(change.tables.targets, place, name);
      const { parent: parentName, labels, origin } = snapshot;
      const facts = {
        id,
        name,
        parent: parentName,
        labels,
        origin,
        layerDigest,
        target,
        fallback: undefined,
      };
      return this.#insert(change, { ...facts, kind: "committed" }, parent);
    });
  }

  /** Checks what `commit` will check, before work is spent on it. @returns the row of the key @throws as `commit` */
  checkCommit(names: Pick<CommittedSnapshot, "key" | "name" | "parent">): SnapshotRow {
    const view = { transaction: this.#metadata, tables: this.#tables };
    const { active } = requireCommittable(view, names);
    requireFree(view, names.name);
    return active;
  }

  /** @throws NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT */
  async commit(snapshot: CommittedSnapshot): Promise<SnapshotRow> {
    const { name } = snapshot;
    return await this.#write((change) => {
      const { active, parent } = requireCommittable(change, snapshot);
      deleteRow(change, active);
      requireFree(change, name);
      const now = this.#now();
      const row: SnapshotRow = {
        ...active,
        name,
        kind: "committed",
        parent: parent?.name ?? "",
        createdAt: now,
        updatedAt: now,
        labels: storedLabels(snapshot.labels),
        usage: snapshot.usage,
      };
      // Read again: deleting the key has lowered its count.
      insertRow(change, row, parent === undefined ? undefined : requireRow(change, parent.name));
      return row;
    });
  }

  /** @throws NOT_FOUND; FAILED_PRECONDITION when it has children */
  async remove(name: string): Promise<SnapshotRow> {
    try {
      return await this.#write(
        (change) => {
          const row = requireRow(change, name);
          deleteRow(change, row);
          return row;
        },
        { isRemoval: true },
      );
    } catch (thrown) {
      const { code, message, reason, hint } = LazuliError.from(thrown);
      throw new LazuliError(code, `failed to remove snapshot ${name}: ${message}`, {
        subject: name,
        ...(reason === undefined ? {} : { reason }),
        ...(hint === undefined ? {} : { hint }),
        cause: thrown,
      });
    }
  }

  /** Replaces the labels by what the function makes of them. @throws NOT_FOUND, and what the function throws */
  async relabel(
    name: string,
    relabelled: (labels: Readonly<Record<string, string>>) => Readonly<Record<string, string>>,
  ): Promise<SnapshotRow> {
    return await this.#write((change) => {
      const row = requireRow(change, name);
      const changed = { ...row, labels: storedLabels(relabelled(row.labels)), updatedAt: this.#now() };
      change.transaction.put(change.tables.rows, name, changed);
      return changed;
    });
  }

  async #write<Result>(
    action: (change: SnapshotChange) => Result,
    options: { readonly isRemoval?: boolean } = {},
  ): Promise<Result> {
    return await this.#metadata.write(
      (transaction) => action({ transaction, tables: this.#tables }),
      options,
    );
  }

  #insert(
    change: SnapshotChange,
    facts: Omit<SnapshotRow, "createdAt" | "updatedAt" | "usage" | "childCount">,
    parent: SnapshotRow | undefined,
  ): SnapshotRow {
    const now = this.#now();
    const row: SnapshotRow = {
      ...facts,
      labels: storedLabels(facts.labels),
      createdAt: now,
      updatedAt: now,
      usage: noUsage,
      childCount: 0,
    };
    const { transaction, tables } = change;
    const last = transaction.get(counters, tables.idCounter) ?? 0;
    if (row.id > last) transaction.put(counters, tables.idCounter, row.id);
    insertRow(change, row, parent);
    return row;
  }
}

export function targetTaken(target: string): LazuliError {
  return failedPrecondition(`target snapshot ${JSON.stringify(target)} stands for another layer`, {
    subject: target,
    reason: "target-of-another-layer",
    hint: "Two images claim the same content for different blobs; the client pulls and checks this one itself",
  });
}

export function requireActive(row: SnapshotRow): void {
  if (row.kind === "active") return;
  throw failedPrecondition(`snapshot ${JSON.stringify(row.name)} is not active`, {
    subject: row.name,
    reason: "snapshot-not-active",
  });
}

function requireCommittable(
  view: SnapshotView,
  { key, name, parent }: Pick<CommittedSnapshot, "key" | "name" | "parent">,
): { readonly active: SnapshotRow; readonly parent: SnapshotRow | undefined } {
  const active = view.transaction.get(view.tables.rows, key);
  if (active === undefined) {
    throw notFound(`failed to get active snapshot ${JSON.stringify(key)}`, {
      subject: key,
      reason: "snapshot-missing",
    });
  }
  if (view.transaction.get(view.tables.rows, name) !== undefined) {
    throw alreadyExists(`committed snapshot ${name}`, { subject: name, reason: "snapshot-exists" });
  }
  requireActive(active);
  return { active, parent: rebasedParent(view, active, parent) };
}

function rebasedParent(view: SnapshotView, active: SnapshotRow, wanted: string): SnapshotRow | undefined {
  if (wanted === "" || wanted === active.parent) return requireParent(view, active.parent);
  if (active.parent !== "") {
    throw invalidArgument(
      `cannot commit ${JSON.stringify(active.name)} onto ${JSON.stringify(wanted)}: it has the parent ${JSON.stringify(active.parent)}`,
      { subject: active.name, reason: "parent-differs" },
    );
  }
  const row = view.transaction.get(view.tables.rows, wanted);
  if (row !== undefined && row.kind !== "committed") {
    throw failedPrecondition(`parent ${JSON.stringify(wanted)} is not committed snapshot`, {
      subject: wanted,
      reason: "parent-not-committed",
    });
  }
  return requireParent(view, wanted);
}
