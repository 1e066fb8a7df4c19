import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CollectResponseSchema, WhyResponseSchema } from "../../gen/lazuli/v1/node_pb.js";
import { failedPrecondition } from "../errors/index.js";
import type { CollectionScheduler, Collector } from "../gc/index.js";

/** The garbage collection of a node: what `lazuli gc` asks. */
export interface NodeCollection {
  readonly scheduler: Pick<CollectionScheduler, "scheduleAndWait">;
  readonly collector: Pick<Collector, "plan" | "why">;
}

/** Nodes that an answer lists; it counts the rest. */
const LISTED_MAX = 10_000;

/** @throws FAILED_PRECONDITION where the process has no collection */
export function requireCollection(collection: NodeCollection | undefined): NodeCollection {
  if (collection !== undefined) return collection;
  throw failedPrecondition("Cannot collect garbage: want a lazuli daemon, got a lazuli snapshotter", {
    reason: "gc-elsewhere",
    hint: "Here containerd owns the metadata and collects: delete an image with `ctr images rm --sync`",
  });
}

export async function collect(
  { scheduler, collector }: NodeCollection,
  options: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<MessageInitShape<typeof CollectResponseSchema>> {
  const { isDryRun, signal } = options;
  if (!isDryRun) {
    const { removed, ...figures } = await scheduler.scheduleAndWait({ signal });
    return { ...figures, removed: { ...removed } };
  }
  const startedAt = performance.now();
  const { unreachable, nodesSeen } = await collector.plan({ signal });
  const removed: Record<string, number> = {};
  for (const { type } of unreachable) removed[type] = (removed[type] ?? 0) + 1;
  return {
    removed,
    nodesSeen,
    durationMs: performance.now() - startedAt,
    unreachable: unreachable.slice(0, LISTED_MAX).map((node) => ({ ...node })),
    leftOut: Math.max(0, unreachable.length - LISTED_MAX),
  };
}

export async function why(
  { collector }: NodeCollection,
  { subject, signal }: { readonly subject: string; readonly signal: AbortSignal },
): Promise<MessageInitShape<typeof WhyResponseSchema>> {
  const found = await collector.why(subject, { signal });
  return {
    subject,
    found: found.slice(0, LISTED_MAX).map(({ node, path }) => ({
      node: { ...node },
      path: path.map((step) => ({ node: { ...step.node }, by: step.by })),
    })),
  };
}
