import type { Metadata } from "../metadata/index.js";
import type { PathStep } from "./contract.js";
import type { MarkRound } from "./mark-round.js";
import type { NodeFacts, Reference } from "./node-facts.js";
import { type NodePlace, rowOf } from "./row-kinds.js";

/** The way from a root to a node, as a round with paths found it; empty when nothing leads to the node. */
export function explainPath(metadata: Metadata, round: MarkRound, node: number): PathStep[] {
  const { graph } = round;
  if (!graph.isMarked(node)) return [];
  const nodes = [node];
  for (let by = graph.markedBy(node); by !== undefined; by = graph.markedBy(by)) nodes.unshift(by);
  return nodes.map((id, index) => ({
    node: graph.describe(id),
    by:
      index === 0
        ? (factsOf(metadata, round, graph.place(id))?.rootBy ?? "root")
        : reasonOf(metadata, round, { from: graph.place(nodes[index - 1]!), to: graph.place(id) }),
  }));
}

/** The label or field that makes one node keep another. */
function reasonOf(
  metadata: Metadata,
  round: MarkRound,
  edge: { readonly from: NodePlace; readonly to: NodePlace },
): string {
  const { from, to } = edge;
  if (from.sort === "lease") return "leased";
  const [source, target] = [factsOf(metadata, round, from), factsOf(metadata, round, to)];
  const isTo = (reference: Pick<Reference, "sort" | "key">, place: NodePlace): boolean =>
    reference.sort === place.sort && reference.key === place.key;
  const forward = source?.references.find((found) => found.direction === "to" && isTo(found, to));
  const backward = target?.references.find((found) => found.direction === "from" && isTo(found, from));
  const conditional = source?.conditions.find((found) => isTo(found, to));
  // The row may have changed since it was read.
  return (forward ?? backward ?? conditional)?.by ?? "reference";
}

function factsOf(metadata: Metadata, round: MarkRound, place: NodePlace): NodeFacts | undefined {
  const row = rowOf(place);
  return row?.kind.read(metadata, row.rowKey, round.context);
}
