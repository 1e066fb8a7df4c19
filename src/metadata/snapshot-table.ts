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
  storedLabels,
  TARGET_LABEL,
} from "./snapshot-changes.js";
import {
  remoteTargets,
  type SnapshotFallback,
  type SnapshotOrigin,
  type SnapshotRow,
  type SnapshotRowKind,
  type StoredUsage,
  snapshotRows,
} from "./snapshot-row.js";
import { counters } from "./table.js";
import type { Transaction } from "./transaction.js";

export interface SnapshotTableOptions {
  readonly metadata: Metadata;
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
  readonly #now: () => bigint;
  #lastId: number;

  constructor(options: SnapshotTableOptions) {
    this.#metadata = options.metadata;
    this.#now = options.now;
    this.#lastId = Math.max(options.metadata.get(counters, "snapshot-id") ?? 0, options.idTaken);
  }

  find(name: string): SnapshotRow | undefined {
    return this.#metadata.get(snapshotRows, name);
  }

  /** @throws NOT_FOUND */
  get(name: string): SnapshotRow {
    const row = this.find(name);
    if (row === undefined) throw missing(name);
    return row;
  }

  /** All rows in name order. */
  rows(): SnapshotRow[] {
    return this.#metadata.values(snapshotRows);
  }

  /** The ancestors of a row, nearest first. */
  ancestors(row: SnapshotRow): SnapshotRow[] {
    const chain: SnapshotRow[] = [];
    for (let { parent } = row; parent !== ""; ) {
      const next = this.get(parent);
      chain.push(next);
      parent = next.parent;
    }
    return chain;
  }

  /** An id for a folder that is made before its row. */
  allocateId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** Checks what `create` will check, before work is spent on it. @throws as `create` */
  async checkNew(key: string, parent: string): Promise<void> {
    await this.#metadata.write((transaction) => {
      requireFree(transaction, key);
      requireParent(transaction, parent);
    });
  }

  /** @throws ALREADY_EXISTS, NOT_FOUND, INVALID_ARGUMENT */
  async create(snapshot: NewSnapshot): Promise<SnapshotRow> {
    return await this.#metadata.write((transaction) => {
      requireFree(transaction, snapshot.name);
      const parent = requireParent(transaction, snapshot.parent);
      return this.#insert(transaction, { ...snapshot, layerDigest: undefined, target: "" }, parent);
    });
  }

  /** The lazily committed snapshot that stands for a target on a parent. */
  findRemote(target: string, parent: string): SnapshotRow | undefined {
    const parentId = parent === "" ? 0 : this.find(parent)?.id;
    if (parentId === undefined) return undefined;
    const name = this.#metadata.get(remoteTargets, [parentId, target]);
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
    return await this.#metadata.write((transaction) => {
      requireFree(transaction, key);
      const parent = requireParent(transaction, snapshot.parent);
      const place: [number, string] = [parent?.id ?? 0, target];
      const known = transaction.get(remoteTargets, place);
      const present = known === undefined ? undefined : transaction.get(snapshotRows, known);
      if (present?.labels[TARGET_LABEL] === target) {
        if (present.layerDigest === layerDigest) return present;
        throw targetTaken(target);
      }
      const id = this.allocateId();
      const isFree = transaction.get(snapshotRows, target) === undefined;
      const name = isFree ? target : `${target} ${id}`;
      requireFree(transaction, name);
      transaction.put(remoteTargets, place, name);
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
      return this.#insert(transaction, { ...facts, kind: "committed" }, parent);
    });
  }

  /** @throws NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT */
  async commit(snapshot: CommittedSnapshot): Promise<SnapshotRow> {
    const { key, name } = snapshot;
    return await this.#metadata.write((transaction) => {
      const active = transaction.get(snapshotRows, key);
      if (active === undefined) {
        throw notFound(`failed to get active snapshot ${JSON.stringify(key)}`, {
          subject: key,
          reason: "snapshot-missing",
        });
      }
      if (transaction.get(snapshotRows, name) !== undefined) {
        throw alreadyExists(`committed snapshot ${name}`, { subject: name, reason: "snapshot-exists" });
      }
      requireActive(active);
      const parent = rebasedParent(transaction, active, snapshot.parent);
      deleteRow(transaction, active);
      requireFree(transaction, name);
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
      insertRow(transaction, row, parent === undefined ? undefined : requireRow(transaction, parent.name));
      return row;
    });
  }

  /** @throws NOT_FOUND; FAILED_PRECONDITION when it has children */
  async remove(name: string): Promise<SnapshotRow> {
    try {
      return await this.#metadata.write(
        (transaction) => {
          const row = requireRow(transaction, name);
          deleteRow(transaction, row);
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
    change: (labels: Readonly<Record<string, string>>) => Readonly<Record<string, string>>,
  ): Promise<SnapshotRow> {
    return await this.#metadata.write((transaction) => {
      const row = requireRow(transaction, name);
      const changed = { ...row, labels: storedLabels(change(row.labels)), updatedAt: this.#now() };
      transaction.put(snapshotRows, name, changed);
      return changed;
    });
  }

  #insert(
    transaction: Transaction,
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
    const last = transaction.get(counters, "snapshot-id") ?? 0;
    if (row.id > last) transaction.put(counters, "snapshot-id", row.id);
    insertRow(transaction, row, parent);
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

function rebasedParent(
  transaction: Transaction,
  active: SnapshotRow,
  wanted: string,
): SnapshotRow | undefined {
  if (wanted === "" || wanted === active.parent) return requireParent(transaction, active.parent);
  if (active.parent !== "") {
    throw invalidArgument(
      `cannot commit ${JSON.stringify(active.name)} onto ${JSON.stringify(wanted)}: it has the parent ${JSON.stringify(active.parent)}`,
      { subject: active.name, reason: "parent-differs" },
    );
  }
  const row = transaction.get(snapshotRows, wanted);
  if (row !== undefined && row.kind !== "committed") {
    throw failedPrecondition(`parent ${JSON.stringify(wanted)} is not committed snapshot`, {
      subject: wanted,
      reason: "parent-not-committed",
    });
  }
  return requireParent(transaction, wanted);
}
