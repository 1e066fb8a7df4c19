import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExplainedLayerSchema } from "../../gen/lazuli/v1/node_pb.js";
import { notFound } from "../errors/index.js";
import type { LayerStatus } from "../layer/index.js";
import type { LazySnapshotter } from "../snapshotters/index.js";

type Row = ReturnType<LazySnapshotter["rows"]>[number];
type ExplainedLayer = MessageInitShape<typeof ExplainedLayerSchema>;

export interface ExplainFacts {
  readonly rows: readonly Row[];
  readonly layers: readonly LayerStatus[];
}

/**
 * What became of each layer that has to do with a query (an image reference, a layer's digest, a chain id or the key
 * of a snapshot), from the bottom up. @throws NOT_FOUND
 */
export function explain(query: string, facts: ExplainFacts): ExplainedLayer[] {
  const byName = new Map(facts.rows.map((row) => [row.name, row]));
  const status = new Map<string, LayerStatus>(facts.layers.map((layer) => [layer.digest, layer]));
  const rows = new Map<string, Row>();
  for (const row of facts.rows) {
    if (isNamed(row, query)) rows.set(row.name, row);
    if (isNamed(row, query) ? row.kind !== "committed" : row.origin?.reference === query) {
      for (const layer of withAncestors(row, byName)) rows.set(layer.name, layer);
    }
  }
  const explained = [...rows.values()]
    .filter((row) => row.kind === "committed" || row.fallback !== undefined)
    .sort((left, right) => depth(left, byName) - depth(right, byName))
    .map((row) => explainRow(row, status));
  const shown = new Set(explained.map((layer) => layer.layerDigest));
  for (const layer of facts.layers) {
    // Made ready ahead of its Prepare, or left by a snapshot that was removed.
    if ((layer.digest === query || layer.reference === query) && !shown.has(layer.digest)) {
      explained.push({ lazy: true, ...statusFields(layer) });
    }
  }
  if (explained.length > 0) return explained;
  throw notFound(
    `Cannot explain ${JSON.stringify(query)}: want an image, a layer, a chain id or a snapshot that lazuli has, got none of them`,
    {
      subject: query,
      reason: "nothing-to-explain",
      hint: "Pull the image with this snapshotter, and name it as the pull did; `lazuli status` lists what is there",
    },
  );
}

function isNamed(row: Row, query: string): boolean {
  // containerd's metadata names a client's key `<namespace>/<sequence>/<key>`.
  const clientName = row.name.replace(/^[^/]+\/\d+\//, "");
  return [row.name, clientName, row.target, row.layerDigest, row.origin?.digest].includes(query);
}

function withAncestors(row: Row, byName: ReadonlyMap<string, Row>): Row[] {
  const chain: Row[] = [];
  for (let next: Row | undefined = row; next !== undefined; next = byName.get(next.parent)) chain.push(next);
  return chain;
}

function depth(row: Row, byName: ReadonlyMap<string, Row>): number {
  return withAncestors(row, byName).length;
}

function explainRow(row: Row, status: ReadonlyMap<string, LayerStatus>): ExplainedLayer {
  const digest = row.layerDigest ?? row.origin?.digest ?? "";
  const shared = { snapshot: row.name, layerDigest: digest, reference: row.origin?.reference ?? "" };
  if (row.layerDigest === undefined) {
    return {
      ...shared,
      lazy: false,
      reason: row.fallback?.reason ?? "not-asked",
      hint:
        row.fallback === undefined
          ? "The client made this snapshot by itself and did not ask for a lazy layer"
          : [row.fallback.message, row.fallback.hint].filter((text) => text !== undefined).join(". "),
    };
  }
  const layer = status.get(row.layerDigest);
  if (layer !== undefined)
    return { ...shared, lazy: true, ...statusFields(layer), reference: shared.reference };
  return {
    ...shared,
    lazy: true,
    reason: "layer-missing",
    hint: "The layer is lost or damaged on the disk: it is made again for the next container on it",
  };
}

function statusFields(layer: LayerStatus): ExplainedLayer {
  return {
    layerDigest: layer.digest,
    reference: layer.reference,
    format: layer.format,
    fetchedBytes: layer.fetchedBytes,
    cachedBytes: layer.cachedBytes,
    dataBytes: layer.dataBytes,
    blobBytes: layer.blobBytes,
    mountKind: layer.mountKind,
    complete: layer.complete,
    lastError: layer.lastError ?? "",
  };
}
