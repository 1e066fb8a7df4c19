import { linkSignals } from "../async/index.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import { type LayerRequest, layerSmall, type SociIndex, type WholeBlob } from "../layer/index.js";
import { layerType } from "../oci/index.js";
import { MANIFEST_CHECKSUM_ANNOTATION, STARGZ_MANIFEST_CHECKSUM_ANNOTATION } from "../zstdchunked/index.js";
import { type LayerRegistry, loadExternalToc } from "./external-toc.js";
import type { FineIndexes } from "./fine-indexes.js";
import { firstLabel, labelNames } from "./labels.js";
import { mayBecomeWhole } from "./may-become-whole.js";
import type { FoundLayer, HostContent, LayerResolver, Resolution, ResolveLayer } from "./resolver.js";
import type { SociImage, SociIndexes } from "./soci-indexes.js";

export interface LabelResolverOptions {
  /** Asked when the engine needs a layer's bytes, not by the resolver itself. */
  readonly registry: LayerRegistry;
  /** undefined: only labels are looked at. */
  readonly hostContent: HostContent | undefined;
  /** undefined: SOCI indexes are not looked for. */
  readonly soci: SociIndexes | undefined;
  /** undefined, or absent: our own indexes are not looked for. */
  readonly fine?: FineIndexes | undefined;
  /** Layers without an index are fetched whole by the engine when they have at least so many bytes; undefined: never. */
  readonly wholeBytesMin: number | undefined;
  /**
   * Whether the engine has processors that make a layer of this media type, which is none of a layer that can be decoded.
   * Such layers are fetched whole however few bytes they have. Absent: it has none.
   */
  readonly isProcessed?: (mediaType: string) => boolean;
}

/** Longest wait for the host's content store when it could only add the blob's size. */
const SIZE_LOOKUP_TIMEOUT_MS = 250;
/** Other layers of an image that are looked at; further ones wait for their own Prepare. */
const NEIGHBOURS_MAX = 256;

interface LayerFacts extends Pick<LayerRequest, "digest" | "mediaType"> {
  readonly size: number | undefined;
  readonly diffId: Digest | undefined;
  /** Of the descriptor; for the layer that is asked for also its labels with the same keys. */
  readonly annotations: Readonly<Record<string, string>>;
}

interface Told {
  readonly reference: string | undefined;
  readonly digest: Digest | undefined;
  readonly tocDigest: Digest | undefined;
}

/**
 * Finds the layer by the labels that CRI, containerd and stargz's clients give, and fills in what they leave out (all
 * of it, when a client gives none) from the content store of the host's containerd. Labels win.
 */
export function labelResolver(options: LabelResolverOptions): LayerResolver {
  return {
    resolve: async (request) => {
      const told = toldByLabels(request.labels);
      const found = await lookUp(options.hostContent, request, told);
      const resolved = resolution(options, request, told, found);
      const isFinal = resolved.kind === "unknown" || request.isNeeded === true;
      return isFinal ? resolved : await withoutSecondPull(options, request, resolved);
    },
  };
}

function toldByLabels(labels: Readonly<Record<string, string>>): Told {
  return {
    reference: firstLabel(labels, labelNames.reference),
    digest: optionalDigest(firstLabel(labels, labelNames.digest)),
    tocDigest: optionalDigest(labels[labelNames.tocDigest]),
  };
}

async function lookUp(
  hostContent: HostContent | undefined,
  request: ResolveLayer,
  told: Told,
): Promise<FoundLayer | undefined> {
  if (hostContent === undefined) return undefined;
  const isSizeOnly =
    told.reference !== undefined && told.digest !== undefined && told.tocDigest !== undefined;
  using deadline = linkSignals([request.signal], isSizeOnly ? SIZE_LOOKUP_TIMEOUT_MS : undefined);
  let found: FoundLayer | undefined;
  try {
    found = await hostContent.findLayer({
      namespace: namespaceOf(request.key),
      chainId: request.target,
      told: { reference: told.reference, digest: told.digest },
      signal: deadline.signal,
    });
  } catch (thrown) {
    request.signal.throwIfAborted();
    if (!isSizeOnly) throw thrown;
    // The size is only a shortcut: without it the registry is asked.
  }
  // Another blob with the same content: its TOC and size are not those of the blob that the labels name.
  return told.digest === undefined || found?.layer.digest === told.digest ? found : undefined;
}

/** A client that downloads all blobs before it asks has a whole one already: it is not fetched a second time. */
async function withoutSecondPull(
  { hostContent }: LabelResolverOptions,
  { key, signal }: ResolveLayer,
  resolved: Extract<Resolution, { kind: "layer" }>,
): Promise<Resolution> {
  const { request, neighbours } = resolved;
  const { digest, index, origin } = request;
  // It is fetched although the client may have it: the client may have nothing to decode it with.
  if (index?.kind === "whole" && index.processing !== undefined) {
    return { ...resolved, neighbours: neighbours.map(withoutWhole) };
  }
  const isWhole = index?.kind === "whole";
  const mayBeWhole = index !== undefined && mayBecomeWhole(index);
  if (!mayBeWhole) return { ...resolved, neighbours: neighbours.map(withoutWhole) };
  if ((await hostContent?.hasBlob({ namespace: namespaceOf(key), digest, signal })) !== true) return resolved;
  if (!isWhole)
    return { ...resolved, request: withoutWhole(request), neighbours: neighbours.map(withoutWhole) };
  return {
    kind: "unknown",
    reason: "blob-already-local",
    message: "The client has the whole blob already, and nothing tells where its files are",
    hint: "Convert the image to eStargz, or give it a SOCI index",
    known: { reference: origin.reference, digest },
  };
}

function withoutWhole(request: LayerRequest): LayerRequest {
  const { index } = request;
  if (index?.kind === "whole" && index.processing !== undefined) return request;
  if (index?.kind === "whole") return { ...request, index: undefined };
  if (index?.kind === "soci") return { ...request, index: withoutRest(index) };
  if (index?.kind !== "fine") return request;
  const otherwise = index.otherwise?.kind === "soci" ? withoutRest(index.otherwise) : undefined;
  return { ...request, index: { ...index, otherwise } };
}

function withoutRest(index: SociIndex): SociIndex {
  return { ...index, otherwise: undefined };
}

function resolution(
  options: LabelResolverOptions,
  request: ResolveLayer,
  told: Told,
  found: FoundLayer | undefined,
): Resolution {
  const reference = told.reference ?? found?.reference;
  const digest = told.digest ?? found?.layer.digest;
  const known = { reference: reference ?? "", digest };
  if (reference === undefined || digest === undefined) {
    return {
      kind: "unknown",
      reason: "no-source",
      message: "The client gave no image labels, and the host's content store does not know the layer",
      hint: "Let the client pass image labels, or set [containerd] address to its socket",
      known,
    };
  }
  const { registry } = options;
  const image: SociImage = {
    reference,
    manifestDigest: found?.manifestDigest ?? optionalDigest(request.labels[labelNames.manifest]),
    manifestAnnotations: found?.manifestAnnotations ?? {},
    labels: request.labels,
  };
  const layer = (facts: LayerFacts): LayerRequest => ({
    digest: facts.digest,
    mediaType: facts.mediaType,
    index: indexOf(options, image, facts),
    origin: { reference, size: facts.size },
    openSource: async ({ signal }) =>
      await registry.openBlob({ reference, digest: facts.digest, size: facts.size, signal }),
  });
  const own = layer({
    digest,
    mediaType: found?.layer.mediaType ?? "",
    size: found?.layer.size,
    diffId: found?.diffId ?? optionalDigest(request.labels[labelNames.diffId]),
    annotations: { ...found?.layer.annotations, ...request.labels },
  });
  if (own.index === undefined && layerType(own.mediaType)?.encrypted === true) {
    return {
      kind: "unknown",
      reason: "layer-encrypted",
      message: "The layer is encrypted, and encrypted layers are only had whole",
      hint: "Set [layer] pull_whole",
      known,
    };
  }
  if (own.index === undefined && isTooSmall(options, { mediaType: own.mediaType, bytes: own.origin.size })) {
    const { reason, message, hint } = layerSmall(digest);
    return { kind: "unknown", reason: reason!, message, hint, known };
  }
  if (own.index === undefined) {
    return {
      kind: "unknown",
      reason: "no-toc-digest",
      message: "The layer has no annotation with the digest of a table of contents",
      hint: "Convert the image to eStargz, or give it a SOCI index",
      known,
    };
  }
  return {
    kind: "layer",
    request: own,
    manifest: image.manifestDigest,
    neighbours: neighbourFacts(request.labels, digest, found).map(layer),
  };
}

function neighbourFacts(
  labels: Readonly<Record<string, string>>,
  own: Digest,
  found: FoundLayer | undefined,
): LayerFacts[] {
  if (found !== undefined) {
    return found.neighbours.slice(0, NEIGHBOURS_MAX).map(({ layer, diffId }) => ({ ...layer, diffId }));
  }
  const listed = (firstLabel(labels, labelNames.layers) ?? "").split(",", NEIGHBOURS_MAX);
  return [...new Set(listed.map((text) => text.trim()))]
    .filter((text) => text !== "" && text !== own)
    .map((text) => ({
      digest: parseDigest(text),
      mediaType: "",
      annotations: {},
      size: undefined,
      diffId: undefined,
    }));
}

/** The ways into a layer, best first: what its own image says, what lies beside the image (ours before
 * SOCI's), all of its bytes. */
function indexOf(options: LabelResolverOptions, image: SociImage, facts: LayerFacts): LayerRequest["index"] {
  const { registry, fine } = options;
  const { digest, annotations, mediaType } = facts;
  if (layerType(mediaType)?.encrypted === true || options.isProcessed?.(mediaType) === true) {
    return processedBlob(options, facts);
  }
  if (hasZstdChunked(annotations)) return { kind: "zstdchunked", annotations };
  const tocDigest = optionalDigest(annotations[labelNames.tocDigest]);
  if (tocDigest !== undefined) {
    const { reference } = image;
    return {
      kind: "estargz",
      tocDigest,
      loadExternalToc: async ({ signal }) =>
        await loadExternalToc({ registry, reference, layer: digest, signal }),
    };
  }
  // What a layer that only a digest names is made of nobody knows yet.
  const type = layerType(mediaType);
  if (type === undefined) return undefined;
  const whole = wholeBlob(options, facts);
  const isSmall = isTooSmall(options, { mediaType, bytes: facts.size });
  const otherwise =
    type.compression === "zstd" ? whole : sociIndex(options, image, { ...facts, whole, isSmall });
  const { manifestDigest, reference } = image;
  if (fine === undefined || manifestDigest === undefined) return otherwise;
  const load = fine.loader({ reference, manifestDigest }, digest);
  return { kind: "fine", load, diffId: facts.diffId, otherwise, isSmall };
}

/** All of its bytes where no SOCI index is to be looked for. */
function sociIndex(
  { soci }: LabelResolverOptions,
  image: SociImage,
  facts: Pick<LayerFacts, "digest" | "diffId"> & {
    readonly whole: WholeBlob | undefined;
    readonly isSmall: boolean;
  },
): SociIndex | WholeBlob | undefined {
  const { digest, diffId, whole, isSmall } = facts;
  const lookup = soci?.lookup(image) ?? { kind: "none" };
  if (soci === undefined || lookup.kind === "none") return whole;
  return { kind: "soci", load: soci.loader(image, lookup, digest), diffId, otherwise: whole, isSmall };
}

/** What other annotations say is of the layer that processors make of the blob, not of the blob. */
function processedBlob(
  { wholeBytesMin, isProcessed }: LabelResolverOptions,
  { mediaType, diffId, annotations }: LayerFacts,
): WholeBlob | undefined {
  if (wholeBytesMin === undefined || isProcessed?.(mediaType) !== true) return undefined;
  return { kind: "whole", diffId, processing: { annotations } };
}

function wholeBlob({ wholeBytesMin }: LabelResolverOptions, facts: LayerFacts): WholeBlob | undefined {
  const isWanted = wholeBytesMin !== undefined && (facts.size ?? 0) >= wholeBytesMin;
  return isWanted ? { kind: "whole", diffId: facts.diffId } : undefined;
}

/** It would be fetched whole if it were larger: an index would not be worth it either. */
function isTooSmall(
  { wholeBytesMin }: LabelResolverOptions,
  { mediaType, bytes }: { readonly mediaType: string; readonly bytes: number | undefined },
): boolean {
  if (wholeBytesMin === undefined || layerType(mediaType) === undefined) return false;
  return bytes !== undefined && bytes < wholeBytesMin;
}

function hasZstdChunked(annotations: Readonly<Record<string, string>>): boolean {
  return [MANIFEST_CHECKSUM_ANNOTATION, STARGZ_MANIFEST_CHECKSUM_ANNOTATION].some((key) =>
    Object.hasOwn(annotations, key),
  );
}

function optionalDigest(text: string | undefined): Digest | undefined {
  return text === undefined ? undefined : parseDigest(text);
}

/** containerd's metadata names a client's key `<namespace>/<sequence>/<key>`. */
function namespaceOf(key: string): string {
  return /^([^/]+)\/\d+\//.exec(key)?.[1] ?? "default";
}
