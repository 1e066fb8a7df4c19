import { failedPrecondition } from "../errors/index.js";
import { parseFilters } from "../filters/index.js";
import { type NamespacedSnapshotRow, namespacedSnapshots } from "../metadata/index.js";
import type {
  CommitSnapshot,
  CreateSnapshot,
  Mount,
  SnapshotInfo,
  Snapshotter,
  SnapshotUsage,
  UpdateSnapshot,
} from "./contract.js";
import { commitSnapshot } from "./namespaced-commit.js";
import { createSnapshot } from "./namespaced-create.js";
import {
  checkedLabels,
  hasChild,
  hasCode,
  inheritedLabels,
  type NamespacedParts,
  overlaidInfo,
  rowMissing,
  type SnapshotContext,
  unlease,
} from "./namespaced-rows.js";
import { fieldsOf, updatedLabels } from "./snapshot-info.js";

/** Rows of one step of a walk. */
const WALK_PAGE = 100;

/** The snapshotter as one namespace sees it: its rows decide what is there, the one below has the trees. */
export class NamespacedSnapshots implements Snapshotter {
  readonly #parts: NamespacedParts;
  readonly #context: SnapshotContext;
  /** Ends what a crash left half done. */
  readonly #ready: () => Promise<void>;

  constructor(parts: NamespacedParts, context: SnapshotContext, ready: () => Promise<void>) {
    this.#parts = parts;
    this.#context = context;
    this.#ready = ready;
  }

  async stat(name: string): Promise<SnapshotInfo> {
    await this.#ready();
    const row = this.#get(name);
    return overlaidInfo(await this.#parts.snapshotter.stat(row.storeKey), row);
  }

  async update(request: UpdateSnapshot): Promise<SnapshotInfo> {
    await this.#ready();
    const { metadata, snapshotter, now } = this.#parts;
    const { name, fieldPaths } = request;
    const relabelled = (row: NamespacedSnapshotRow): NamespacedSnapshotRow => {
      const labels = checkedLabels(updatedLabels(row.labels, request));
      return { ...row, labels, updatedAt: now() };
    };
    const { storeKey, labels } = relabelled(this.#get(name));
    // Below first: what it says about a label counts only where the row says nothing.
    const info = await snapshotter.update({ name: storeKey, labels: inheritedLabels(labels), fieldPaths });
    const row = await metadata.write((transaction) => {
      const before = transaction.get(namespacedSnapshots, this.#place(name));
      if (before === undefined) throw rowMissing(name);
      const changed = relabelled(before);
      transaction.put(namespacedSnapshots, this.#place(name), changed);
      return changed;
    });
    return overlaidInfo(info, row);
  }

  async usage(name: string, options: { signal?: AbortSignal | undefined } = {}): Promise<SnapshotUsage> {
    await this.#ready();
    return await this.#parts.snapshotter.usage(this.#get(name).storeKey, options);
  }

  async mounts(key: string, options: { signal?: AbortSignal | undefined } = {}): Promise<readonly Mount[]> {
    await this.#ready();
    return await this.#parts.snapshotter.mounts(this.#get(key).storeKey, options);
  }

  async prepare(request: CreateSnapshot): Promise<readonly Mount[]> {
    await this.#ready();
    return await createSnapshot({ parts: this.#parts, context: this.#context, request, kind: "active" });
  }

  async view(request: CreateSnapshot): Promise<readonly Mount[]> {
    await this.#ready();
    return await createSnapshot({ parts: this.#parts, context: this.#context, request, kind: "view" });
  }

  async commit(request: CommitSnapshot): Promise<void> {
    await this.#ready();
    await commitSnapshot(this.#parts, this.#context, request);
  }

  /** Removes the row; a sweep removes the snapshot below. */
  async remove(name: string): Promise<void> {
    await this.#ready();
    const { metadata, name: snapshotter } = this.#parts;
    const { namespace } = this.#context;
    await metadata.write(
      (transaction) => {
        if (transaction.get(namespacedSnapshots, this.#place(name)) === undefined) throw rowMissing(name);
        if (hasChild(transaction, { namespace, snapshotter, key: name })) {
          throw failedPrecondition("cannot remove snapshot with child", {
            subject: name,
            reason: "snapshot-has-children",
          });
        }
        transaction.delete(namespacedSnapshots, this.#place(name));
        unlease(transaction, this.#context, { snapshotter, key: name });
      },
      { isRemoval: true },
    );
  }

  async *walk(filters: readonly string[]): AsyncIterable<SnapshotInfo> {
    await this.#ready();
    const matches = parseFilters(filters);
    const { metadata, name } = this.#parts;
    const prefix = [this.#context.namespace, name];
    for (let after: readonly string[] | undefined; ; ) {
      const page = metadata.page(namespacedSnapshots, prefix, { after, limit: WALK_PAGE });
      for (const { value: row } of page) {
        const info = await this.#infoOf(row);
        if (info !== undefined && matches(fieldsOf(info))) yield info;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < WALK_PAGE) return;
      after = this.#place(last.value.key);
    }
  }

  async cleanup(): Promise<void> {
    await this.#parts.snapshotter.cleanup();
  }

  /** Nothing to do: the snapshotter below belongs to whoever opened it. */
  async close(): Promise<void> {}

  async #infoOf(row: NamespacedSnapshotRow): Promise<SnapshotInfo | undefined> {
    try {
      return overlaidInfo(await this.#parts.snapshotter.stat(row.storeKey), row);
    } catch (thrown) {
      if (hasCode(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    }
  }

  #get(key: string): NamespacedSnapshotRow {
    const row = this.#parts.metadata.get(namespacedSnapshots, this.#place(key));
    if (row === undefined) throw rowMissing(key);
    return row;
  }

  #place(key: string): string[] {
    return [this.#context.namespace, this.#parts.name, key];
  }
}
