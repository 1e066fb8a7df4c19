import { KeyedQueue } from "../async/index.js";
import { failedPrecondition, invalidArgument, LazuliError } from "../errors/index.js";
import { parseFilters } from "../filters/index.js";
import {
  type Metadata,
  type SnapshotFallback,
  type SnapshotOrigin,
  type SnapshotRow,
  SnapshotTable,
} from "../metadata/index.js";
import { failurePoint, log } from "../observe/index.js";
import type {
  CommitSnapshot,
  CreateSnapshot,
  Mount,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
  UpdateSnapshot,
} from "./contract.js";
import { checkLabels } from "./labels.js";
import { fieldsOf, infoOf, updatedLabels } from "./snapshot-info.js";
import type { SnapshotStorage, StoredSnapshot } from "./storage.js";

const stored = failurePoint("snapshots.create.stored");
const frozen = failurePoint("snapshots.commit.frozen");
const committed = failurePoint("snapshots.commit.recorded");
const removed = failurePoint("snapshots.remove.recorded");

export interface StoredSnapshotterOptions {
  /** Keeps this snapshotter's rows apart from others' in the same metadata. */
  readonly name: string;
  readonly metadata: Metadata;
  readonly storage: SnapshotStorage;
  /** The system's clock in nanoseconds since 1970. */
  readonly now: () => bigint;
  /** Whether a tree goes when `remove` is called, or at the next `cleanup`. Default: at cleanup. */
  readonly removal?: "at-once" | "at-cleanup";
  /** Whether a commit may set the parent (capability `rebase`): only where a tree has none of its parents' files. */
  readonly rebases?: boolean;
  /** Labels that a snapshot shows beside its own; they are not stored. */
  readonly shownLabels?: (snapshot: {
    readonly id: number;
    readonly kind: SnapshotRow["kind"];
  }) => Readonly<Record<string, string>>;
}

/** No row has it: the table tells what is wrong. */
const NO_ID = 0;

/** What a new snapshot has beside what its client asks for. */
export interface SnapshotFacts {
  readonly kind: "active" | "view";
  readonly origin?: SnapshotOrigin | undefined;
  readonly fallback?: SnapshotFallback | undefined;
}

/** containerd's contract over a place where trees are kept: names, labels, rules, errors and their texts. */
export async function createStoredSnapshotter(options: StoredSnapshotterOptions): Promise<StoredSnapshotter> {
  const { name, metadata, now, storage } = options;
  const table = new SnapshotTable({ metadata, name, now, idTaken: await storage.idTaken() });
  const snapshotter = new StoredSnapshotter(options, table);
  // What a crash left behind; nobody waits for it.
  snapshotter.startCleanup();
  return snapshotter;
}

export class StoredSnapshotter implements Snapshotter {
  readonly table: SnapshotTable;
  readonly #options: StoredSnapshotterOptions;
  readonly #storage: SnapshotStorage;
  /** Commits and removals of one tree take turns: a commit must not meet its tree half deleted. */
  readonly #turns = new KeyedQueue<number>();
  #cleaning: Promise<void> = Promise.resolve();

  constructor(options: StoredSnapshotterOptions, table: SnapshotTable) {
    this.table = table;
    this.#options = options;
    this.#storage = options.storage;
  }

  async stat(name: string): Promise<SnapshotInfo> {
    return this.#info(this.table.get(name));
  }

  async update(request: UpdateSnapshot): Promise<SnapshotInfo> {
    checkLabels(request.labels);
    return this.#info(await this.table.relabel(request.name, (labels) => updatedLabels(labels, request)));
  }

  async usage(name: string, options: { signal?: AbortSignal | undefined } = {}): Promise<SnapshotUsage> {
    const row = this.table.get(name);
    if (row.kind === "committed") return row.usage;
    return await this.#storage.usage(this.stored(row), options);
  }

  async mounts(key: string, options: { signal?: AbortSignal | undefined } = {}): Promise<readonly Mount[]> {
    const row = this.table.get(key);
    if (row.kind === "committed") {
      throw failedPrecondition(`requested snapshot ${key} not active or view`, {
        subject: key,
        reason: "snapshot-committed",
      });
    }
    return await this.#storage.mounts(this.stored(row), options);
  }

  async prepare(request: CreateSnapshot): Promise<readonly Mount[]> {
    return await this.create(request, { kind: "active" });
  }

  async view(request: CreateSnapshot): Promise<readonly Mount[]> {
    return await this.create(request, { kind: "view" });
  }

  async create(request: CreateSnapshot, facts: SnapshotFacts): Promise<readonly Mount[]> {
    const { key, parent, labels, signal } = request;
    checkLabels(labels);
    this.table.checkNew(key, parent);
    signal?.throwIfAborted();
    const id = this.table.allocateId();
    const snapshot = { id, kind: facts.kind, labels, parents: this.#parents(parent) };
    using _pending = await this.#storage.create(snapshot, { signal }).catch((thrown: unknown) => {
      // A parent that went meanwhile is what is wrong then.
      this.table.checkNew(key, parent);
      throw thrown;
    });
    stored.pass();
    await this.table.create({
      id,
      name: key,
      parent,
      kind: facts.kind,
      labels,
      origin: facts.origin,
      fallback: facts.fallback,
    });
    try {
      return await this.#storage.mounts(snapshot, { signal });
    } catch (thrown) {
      // The client takes it for not made, and will ask for the same key again.
      await this.remove(key).catch((second: unknown) => {
        log.warn("Cannot take back a snapshot", { key, error: LazuliError.from(second).message });
      });
      throw thrown;
    }
  }

  async commit(request: CommitSnapshot): Promise<void> {
    checkLabels(request.labels);
    const { key, name, parent, labels, signal } = request;
    const { id } = this.#committable(request);
    await this.#turns.run(id, async () => {
      const row = this.#committable(request);
      const usage = await this.#storage.commit(this.stored(row), { signal });
      frozen.pass();
      try {
        await this.table.commit({ key, name, parent, labels, usage });
      } catch (thrown) {
        // What was frozen belongs to no row.
        await this.#removeTree(id, "active");
        throw thrown;
      }
      committed.pass();
      if (this.#removesAtOnce) await this.#removeTree(id, "committed");
    });
  }

  async remove(name: string): Promise<void> {
    await this.#turns.run(this.table.find(name)?.id ?? NO_ID, async () => {
      const { id } = await this.table.remove(name);
      removed.pass();
      if (this.#removesAtOnce) await this.#removeTree(id, undefined);
    });
  }

  async *walk(filters: readonly string[]): AsyncIterable<SnapshotInfo> {
    const matches = parseFilters(filters);
    for (const row of this.table.rows()) {
      const shown = this.#shown(row);
      if (matches(fieldsOf(shown))) yield infoOf(shown);
    }
  }

  async cleanup(): Promise<void> {
    this.startCleanup();
    await this.#cleaning;
  }

  /** As `cleanup`, and nobody waits. Cleanings run one after the other. */
  startCleanup(): void {
    const next = this.#cleaning.then(async () => await this.#storage.removeUnknown(() => this.#kindsInUse()));
    this.#cleaning = next;
    next.catch((thrown: unknown) => {
      log.warn("Cannot clean up after removed snapshots", { error: LazuliError.from(thrown).message });
      this.#cleaning = Promise.resolve();
    });
  }

  async close(): Promise<void> {
    // A failure was told where it happened.
    await this.#cleaning.catch(() => undefined);
    await this.#storage.close();
  }

  /** A row as the storage sees it. */
  stored(row: SnapshotRow): StoredSnapshot {
    const { id, kind, labels, parent } = row;
    return { id, kind, labels, parents: this.#parents(parent) };
  }

  /** @throws as `commit` */
  #committable(request: CommitSnapshot): SnapshotRow {
    const row = this.table.checkCommit(request);
    const { parent } = request;
    if (this.#options.rebases !== true && parent !== "" && parent !== row.parent) {
      throw invalidArgument(
        `cannot commit ${JSON.stringify(row.name)} onto ${JSON.stringify(parent)}: want a snapshotter that can rebase`,
        { subject: row.name, reason: "rebase-unsupported" },
      );
    }
    return row;
  }

  get #removesAtOnce(): boolean {
    return this.#options.removal === "at-once";
  }

  #parents(parent: string): StoredSnapshot["parents"] {
    return this.table
      .ancestors(parent)
      .map(({ id, labels, layerDigest }) => ({ id, labels, layer: layerDigest }));
  }

  #kindsInUse(): Map<number, SnapshotRow["kind"]> {
    return new Map(this.table.rows().map(({ id, kind }) => [id, kind]));
  }

  #shown(row: SnapshotRow): SnapshotRow {
    const { shownLabels } = this.#options;
    return shownLabels === undefined ? row : { ...row, labels: { ...row.labels, ...shownLabels(row) } };
  }

  #info(row: SnapshotRow): SnapshotInfo {
    return infoOf(this.#shown(row));
  }

  async #removeTree(id: number, kindInUse: SnapshotRow["kind"] | undefined): Promise<void> {
    try {
      await this.#storage.remove(id, kindInUse);
    } catch (thrown) {
      log.warn("Cannot delete a removed snapshot now; cleaning up tries again", {
        id,
        error: LazuliError.from(thrown).message,
      });
    }
  }
}
