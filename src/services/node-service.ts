import type { ConnectRouter } from "@connectrpc/connect";
import { Node } from "../../gen/lazuli/v1/node_pb.js";
import type { LayerEngine, ReplayFigures } from "../layer/index.js";
import type { LazySnapshotter } from "../snapshotters/index.js";
import { explain } from "./explain.js";
import { collect, type NodeCollection, requireCollection, why } from "./node-collection.js";
import { answer } from "./rpc-error.js";

/** A way to mount layers, and whether it works here. */
export interface LadderStep {
  readonly name: string;
  readonly usable: boolean;
  readonly chosen: boolean;
  readonly detail: string;
}

/** How much of something this process uses, and may. */
export interface BudgetRow {
  /** "disk", "in-flight", "descriptors" or "requests". */
  readonly name: string;
  /** The host of "requests"; "" for others. */
  readonly subject: string;
  readonly unit: "bytes" | "count";
  readonly used: number;
  /** 0: no limit. */
  readonly limit: number;
  /** For people. */
  readonly detail: string;
}

export interface NodeServiceOptions {
  readonly version: string;
  readonly engine: LayerEngine;
  readonly snapshotter: LazySnapshotter;
  readonly ladder: readonly LadderStep[];
  /** Counters since the start, by name. */
  readonly counters: () => Readonly<Record<string, number>>;
  /** What was fetched ahead of reads; absent: nothing is. */
  readonly replays?: () => readonly ReplayFigures[];
  /** What may be used, and is; absent: nothing is told of it. */
  readonly budgets?: () => readonly BudgetRow[];
  /** Where this process collects garbage. */
  readonly collection?: NodeCollection;
}

/** `lazuli.v1.Node`: what this node holds, and why each layer is lazy or not. */
export function nodeService(options: NodeServiceOptions): (router: ConnectRouter) => void {
  const { engine, snapshotter } = options;
  return (router) => {
    router.service(Node, {
      status: () =>
        answer(async () => ({
          version: options.version,
          ladder: options.ladder.map((step) => ({ ...step })),
          layers: engine.list().map((layer) => ({ ...layer, lastError: layer.lastError ?? "" })),
          snapshots: snapshotter.rows().map(snapshotMessage),
          counters: { ...options.counters() },
          replays: (options.replays?.() ?? []).map(replayMessage),
          budgets: (options.budgets?.() ?? []).map((row) => ({ ...row })),
        })),
      explain: ({ query }) =>
        answer(async () => ({
          query,
          layers: explain(query, { rows: snapshotter.rows(), layers: engine.list() }),
        })),
      collect: ({ dryRun }, { signal }) =>
        answer(async () => collect(requireCollection(options.collection), { isDryRun: dryRun, signal })),
      why: ({ subject }, { signal }) =>
        answer(async () => why(requireCollection(options.collection), { subject, signal })),
    });
  };
}

function replayMessage({ start, ...figures }: ReplayFigures) {
  return { ...figures, ...(start === undefined ? {} : { start: { ...start } }) };
}

function snapshotMessage(row: ReturnType<LazySnapshotter["rows"]>[number]) {
  return {
    name: row.name,
    parent: row.parent,
    kind: row.kind,
    lazy: row.layerDigest !== undefined,
    layerDigest: row.layerDigest ?? row.origin?.digest ?? "",
    reference: row.origin?.reference ?? "",
    fallbackReason: row.fallback?.reason ?? "",
    createdAt: new Date(Number(row.createdAt / 1_000_000n)).toISOString(),
  };
}
