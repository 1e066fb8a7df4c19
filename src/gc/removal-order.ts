import type { Graph } from "./graph.js";
import { IntList } from "./int-list.js";
import type { Pace } from "./pace.js";

/** Nodes between two looks at the clock. */
const STEP_NODES = 2000;

export interface RemovalOrder {
  /** Each node stands behind all unmarked ones that lead to it. */
  readonly ordered: readonly number[];
  /** Those in circles, and behind them. */
  readonly circular: readonly number[];
}

/**
 * The existing nodes that are not marked, so that what is left at any step has all that it refers to: who takes a
 * reference to something that was not removed yet finds the whole of it.
 */
export async function removalOrder(graph: Graph, pace: Pace): Promise<RemovalOrder> {
  const { size } = graph;
  const incoming = new Int32Array(size);
  for (let id = 0; id < size; id += 1) {
    if (id % STEP_NODES === 0) await pace.rest();
    if (graph.isMarked(id)) continue;
    graph.eachTarget(id, (target) => {
      incoming[target]! += 1;
    });
  }
  const free = new IntList();
  for (let id = size - 1; id >= 0; id -= 1) if (!graph.isMarked(id) && incoming[id] === 0) free.push(id);
  const ordered: number[] = [];
  for (let done = 1; free.length > 0; done += 1) {
    if (done % STEP_NODES === 0) await pace.rest();
    const id = free.pop();
    if (graph.exists(id)) ordered.push(id);
    graph.eachTarget(id, (target) => {
      incoming[target]! -= 1;
      if (incoming[target] === 0 && !graph.isMarked(target)) free.push(target);
    });
  }
  const circular: number[] = [];
  for (let id = 0; id < size; id += 1)
    if (incoming[id]! > 0 && !graph.isMarked(id) && graph.exists(id)) circular.push(id);
  return { ordered, circular };
}
