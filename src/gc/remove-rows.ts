import { type KeyParts, leaseResources, type Metadata, type Transaction } from "../metadata/index.js";
import { failurePoint } from "../observe/index.js";
import type { GraphNode, NodeType } from "./contract.js";
import type { MarkRound } from "./mark-round.js";
import { removalOrder } from "./removal-order.js";
import { rowOf } from "./row-kinds.js";

const removedSome = failurePoint("gc.rows.removed-some");

export type RemovedCounts = Partial<Record<NodeType, number>>;

export interface RemoveRowsOptions {
  readonly metadata: Metadata;
  readonly round: MarkRound;
  readonly signal: AbortSignal | undefined;
  /** Rows of one action. */
  readonly batchRows: number;
  /** Told of each key before it is removed: the changes that observers see have these very objects. */
  readonly noteOwn: (rowKey: KeyParts) => void;
  /** Told of each object whose row has gone, durably. */
  readonly noteRemoved: (node: GraphNode) => void;
}

/**
 * The first phase: takes the rows of all that is not reachable away, referrers before what they refer to, in actions of
 * bounded size. Each action looks again at what was written meanwhile, so a reference taken during the removal wins.
 * Circles go in one action, whatever their size, since no part of one may stay without the others.
 */
export async function removeRows(options: RemoveRowsOptions): Promise<RemovedCounts> {
  const { round, signal, batchRows } = options;
  const { ordered, circular } = await removalOrder(round.graph, round.pace(signal));
  const removed: RemovedCounts = {};
  for (let at = 0; at < ordered.length; at += batchRows) {
    signal?.throwIfAborted();
    await removeBatch(ordered.slice(at, at + batchRows), options, removed);
  }
  await removeBatch(circular, options, removed);
  return removed;
}

async function removeBatch(
  nodes: readonly number[],
  options: RemoveRowsOptions,
  removed: RemovedCounts,
): Promise<void> {
  if (nodes.length === 0) return;
  const { metadata, round, noteRemoved } = options;
  const gone = await metadata.write(
    (transaction) => {
      round.catchUp(transaction);
      const found: GraphNode[] = [];
      for (const node of nodes) {
        if (round.graph.isMarked(node)) continue;
        if (removeNode(node, transaction, options)) found.push(round.graph.describe(node));
      }
      return found;
    },
    { isRemoval: true },
  );
  for (const node of gone) {
    removed[node.type] = (removed[node.type] ?? 0) + 1;
    noteRemoved(node);
  }
  removedSome.pass();
}

function removeNode(node: number, transaction: Transaction, options: RemoveRowsOptions): boolean {
  const place = options.round.graph.place(node);
  const row = rowOf(place);
  if (row === undefined) return false;
  options.noteOwn(row.rowKey);
  const isRemoved = row.kind.remove(transaction, row.rowKey);
  if (isRemoved && place.sort === "lease") {
    for (const { key } of transaction.entries(leaseResources, [place.namespace, place.key])) {
      options.noteOwn(key);
      transaction.delete(leaseResources, key);
    }
  }
  return isRemoved;
}
