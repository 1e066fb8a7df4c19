import { unavailable } from "../errors/index.js";
import {
  attachLease,
  type NamespacedSnapshotRow,
  namespacedSnapshots,
  type Transaction,
} from "../metadata/index.js";
import { failurePoint } from "../observe/index.js";
import type { CommitSnapshot } from "./contract.js";
import {
  checkedLabels,
  checkKey,
  hasCode,
  inheritedLabels,
  type NamespacedParts,
  type PendingCommit,
  parentMissing,
  pendingCommits,
  rowExists,
  rowMissing,
  type SnapshotContext,
  unlease,
} from "./namespaced-rows.js";

const intended = failurePoint("snapshots.namespaced.intended");
const committed = failurePoint("snapshots.namespaced.committed");

/**
 * Commits below and then moves the row, with a note in between that survives a crash.
 * Commits of the same key or name wait for each other, as those of two pulls of one image do.
 * @throws as `Snapshotter.commit`; UNAVAILABLE when an earlier commit of the key or the name could not be ended
 */
export async function commitSnapshot(
  parts: NamespacedParts,
  context: SnapshotContext,
  request: CommitSnapshot,
): Promise<void> {
  // Always in this order: two that want the same names never wait for each other.
  const [first, second] = [request.key, request.name].sort().map((name) => `${context.namespace} ${name}`);
  await parts.turns.run(first!, async () => {
    if (first === second) await commitInTurn(parts, context, request);
    else await parts.turns.run(second!, async () => await commitInTurn(parts, context, request));
  });
}

async function commitInTurn(
  parts: NamespacedParts,
  context: SnapshotContext,
  request: CommitSnapshot,
): Promise<void> {
  const labels = checkedLabels(request.labels);
  checkKey(request.name);
  const storeKey = await parts.nextStoreKey(context.namespace, request.name);
  using _name = await parts.pinned.pin(storeKey);
  const { commit, key, parent } = await intend({ parts, context, request, storeKey, labels });
  intended.pass();
  try {
    await parts.snapshotter.commit({
      name: storeKey,
      key,
      parent,
      labels: inheritedLabels(labels),
      signal: request.signal,
    });
  } catch (thrown) {
    // It may have been committed all the same, and then the rows have to follow.
    if (!(await settle(parts, context, commit))) throw thrown;
    return;
  }
  committed.pass();
  await moveRow(parts, context, commit);
}

interface Intention {
  readonly parts: NamespacedParts;
  readonly context: SnapshotContext;
  readonly request: CommitSnapshot;
  readonly storeKey: string;
  readonly labels: Readonly<Record<string, string>>;
}

async function intend(intention: Intention): Promise<{ commit: PendingCommit; key: string; parent: string }> {
  const { parts, context, request, storeKey, labels } = intention;
  const { namespace, lease } = context;
  const place = (key: string): string[] => [namespace, parts.name, key];
  return await parts.metadata.write((transaction) => {
    if (transaction.get(namespacedSnapshots, place(request.name)) !== undefined)
      throw rowExists(request.name);
    requireIdle(transaction, intention);
    if (lease !== undefined) {
      const resource = { type: `snapshots/${parts.name}`, id: request.name };
      attachLease(transaction, { namespace, lease, resource });
    }
    const row = transaction.get(namespacedSnapshots, place(request.key));
    if (row === undefined) throw rowMissing(request.key);
    const rebased =
      request.parent === "" ? undefined : transaction.get(namespacedSnapshots, place(request.parent));
    if (request.parent !== "" && rebased === undefined) throw parentMissing(request.parent);
    const commit: PendingCommit = {
      namespace,
      snapshotter: parts.name,
      key: request.key,
      name: request.name,
      storeKey,
      parent: rebased?.key ?? row.parent,
      labels,
    };
    transaction.put(pendingCommits, place(request.key), commit);
    return { commit, key: row.storeKey, parent: rebased?.storeKey ?? "" };
  });
}

function requireIdle(transaction: Transaction, intention: Intention): void {
  const { parts, context, request } = intention;
  for (const { value } of transaction.entries(pendingCommits, [context.namespace, parts.name])) {
    if (value.key !== request.key && value.name !== request.name) continue;
    throw unavailable(`snapshot ${JSON.stringify(request.key)} is being committed`, {
      subject: request.key,
      reason: "snapshot-committing",
    });
  }
}

/** Ends a commit by what is found below: the rows follow it, or the note is dropped. @returns whether they follow */
export async function settle(
  parts: NamespacedParts,
  context: SnapshotContext,
  commit: PendingCommit,
): Promise<boolean> {
  const place = [commit.namespace, commit.snapshotter, commit.key];
  try {
    await parts.snapshotter.stat(commit.storeKey);
  } catch (thrown) {
    if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
    await parts.metadata.write((transaction) => transaction.delete(pendingCommits, place), {
      isRemoval: true,
    });
    return false;
  }
  await moveRow(parts, context, commit);
  return true;
}

async function moveRow(
  parts: NamespacedParts,
  context: SnapshotContext,
  commit: PendingCommit,
): Promise<void> {
  const { namespace, snapshotter, key, name, storeKey, parent, labels } = commit;
  const at = parts.now();
  const row: NamespacedSnapshotRow = {
    namespace,
    snapshotter,
    key: name,
    storeKey,
    parent,
    labels,
    createdAt: at,
    updatedAt: at,
  };
  await parts.metadata.write((transaction) => {
    transaction.put(namespacedSnapshots, [namespace, snapshotter, name], row);
    transaction.delete(namespacedSnapshots, [namespace, snapshotter, key]);
    transaction.delete(pendingCommits, [namespace, snapshotter, key]);
    unlease(transaction, context, { snapshotter, key });
  });
  // Still pinned: a sweep that began before the row was durable learns of it here.
  parts.noteKept(storeKey);
}
