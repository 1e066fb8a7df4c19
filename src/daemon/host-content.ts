import pLimit from "p-limit";
import { linkSignals } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { FoundLayer, HostContent, LayerQuery } from "../snapshotters/index.js";
import { readImage } from "./image-blobs.js";
import { ImageIndex, type IndexedImage } from "./image-index.js";
import { isLoopback, sourcesOfLabels, splitSource } from "./image-sources.js";
import { configuredPorts } from "./registry-ports.js";

/** A manifest in a content store, with what containerd wrote beside it. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly createdAtNanoseconds: bigint;
  readonly labels: Readonly<Record<string, string>>;
}

export interface NamedImage {
  readonly name: string;
  /** It points at the manifest that was asked for, directly or over an index. */
  readonly isSame: boolean;
}

export interface ContentRequest {
  readonly namespace: string;
  readonly signal: AbortSignal;
}

/** Read access to one containerd: its content store and its image records. */
export interface ContentReader {
  /** Manifests that have a config beside them, at most `countMax`, newest first. */
  manifests(request: ContentRequest & { readonly countMax: number }): Promise<readonly StoredManifest[]>;
  /** A whole blob, verified against its digest. @throws NOT_FOUND, DATA_LOSS, RESOURCE_EXHAUSTED */
  read(request: ContentRequest & { readonly digest: Digest; readonly sizeMax: number }): Promise<Buffer>;
  /** Whether a blob is there as a whole. */
  has(request: ContentRequest & { readonly digest: Digest }): Promise<boolean>;
  /** Images of a repository (`host[:port]/repository`; without a port: on any port of the host). */
  images(
    request: ContentRequest & { readonly source: string; readonly manifestDigest: Digest },
  ): Promise<readonly NamedImage[]>;
}

export interface HostContentOptions {
  /** Folders with `<host>[:port]/hosts.toml`, which may tell a registry's port. */
  readonly hostsFolders: readonly string[];
  readonly reader: ContentReader;
  /** Longest time for one look, waiting for earlier ones included. */
  readonly timeoutMs: number;
}

/** Newest manifests of a namespace that a look considers; older ones are left out. */
const MANIFESTS_MAX = 512;
/** Namespaces whose repositories are remembered; those of the one that was learnt longest ago are read again when asked for. */
const NAMESPACES_MAX = 64;
/** Looks that wait for their turn; one beyond it finds nothing at once. */
const LOOKS_WAITING_MAX = 256;
/** Manifests and configs that are read at once. */
const READS_MAX = 8;

/**
 * Finds the registry source of a layer that a client named by its chain id only, in the content store of the host's
 * containerd: by the time of Prepare the image's manifest and config are there, and containerd has written the
 * repository beside them. Reads only, never fails a Prepare: where there is no answer in time there is none.
 */
export function hostContent(options: HostContentOptions): HostContent {
  const index = new ImageIndex();
  // Prepare comes layer by layer: the first look learns the whole image, those behind it find it in memory.
  const inTurn = pLimit(1);
  const sources = new Map<string, ReadonlyMap<string, readonly string[]>>();

  const find = async (query: LayerQuery, signal: AbortSignal): Promise<FoundLayer | undefined> => {
    const known = chosen(query, index, sources);
    if (known !== undefined) return await named(query, known, signal);
    await learn(query.namespace, signal);
    const learnt = chosen(query, index, sources);
    return learnt === undefined ? undefined : await named(query, learnt, signal);
  };

  const learn = async (namespace: string, signal: AbortSignal): Promise<void> => {
    const manifests = await options.reader.manifests({ namespace, countMax: MANIFESTS_MAX, signal });
    const limit = pLimit(READS_MAX);
    // Oldest first into the index, so that the newest is the one that it forgets last.
    const unknown = manifests.filter((manifest) => !index.has(namespace, manifest.digest)).reverse();
    const images = await Promise.all(
      unknown.map((manifest) =>
        limit(() =>
          readImage({ reader: options.reader, namespace, manifestDigest: manifest.digest, signal }),
        ),
      ),
    );
    for (const image of images) if (image !== undefined) index.add(image);
    sources.delete(namespace);
    for (const oldest of sources.keys()) {
      if (sources.size < NAMESPACES_MAX) break;
      sources.delete(oldest);
    }
    sources.set(namespace, new Map(manifests.map(({ digest, labels }) => [digest, sourcesOfLabels(labels)])));
  };

  const named = async (
    query: LayerQuery,
    choice: Choice,
    signal: AbortSignal,
  ): Promise<FoundLayer | undefined> => {
    const { image, repositories } = choice;
    if (query.told?.reference !== undefined) return found(query, image, query.told.reference);
    for (const source of repositories) {
      const reference = await referenceOf(options, { namespace: query.namespace, image, source, signal });
      if (reference !== undefined) return found(query, image, reference);
    }
    log.info("The port of a layer's registry is not known", {
      reason: "host-content-no-port",
      chainId: query.chainId,
      source: repositories[0],
    });
    return undefined;
  };

  return {
    hasBlob: async ({ namespace, digest, signal: wanted }) => {
      using deadline = linkSignals([wanted], options.timeoutMs);
      try {
        return await options.reader.has({ namespace, digest, signal: deadline.signal });
      } catch {
        // Not known counts as not there: at worst its bytes come twice.
        wanted?.throwIfAborted();
        return false;
      }
    },
    findLayer: async (query) => {
      if (inTurn.pendingCount >= LOOKS_WAITING_MAX) return undefined;
      using deadline = linkSignals([query.signal], options.timeoutMs);
      try {
        return await inTurn(async () => {
          deadline.signal.throwIfAborted();
          return await find(query, deadline.signal);
        });
      } catch (thrown) {
        query.signal?.throwIfAborted();
        const { code, message } = LazuliError.from(deadline.signal.aborted ? deadline.signal.reason : thrown);
        log.warn("Cannot look into the host's content store", {
          reason: "host-content-unavailable",
          namespace: query.namespace,
          chainId: query.chainId,
          code,
          error: message,
        });
        return undefined;
      }
    },
  };
}

/**
 * The name under which an image can be fetched. containerd notes the host without its port, so the port comes from an
 * image of the same repository or from a hosts.toml; a registry on this machine without one is left alone.
 */
async function referenceOf(
  options: HostContentOptions,
  at: ContentRequest & { readonly image: IndexedImage; readonly source: string },
): Promise<string | undefined> {
  const { manifestDigest } = at.image;
  const images = await options.reader.images({
    namespace: at.namespace,
    signal: at.signal,
    source: at.source,
    manifestDigest,
  });
  const same = images.find((image) => image.isSame);
  if (same !== undefined) return same.name;
  const { host, repository, hasPort } = splitSource(at.source);
  const hosts = new Set(hasPort ? [host] : images.map((image) => splitSource(image.name).host));
  if (hosts.size === 0) {
    for (const configured of await configuredPorts(options.hostsFolders, host)) hosts.add(configured);
  }
  if (hosts.size === 0 && !isLoopback(host)) hosts.add(host);
  const [only, ...others] = hosts;
  return only === undefined || others.length > 0 ? undefined : `${only}/${repository}@${manifestDigest}`;
}

interface Choice {
  readonly image: IndexedImage;
  readonly repositories: readonly string[];
}

function chosen(
  query: LayerQuery,
  index: ImageIndex,
  sources: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>,
): Choice | undefined {
  const { reference, digest } = query.told ?? {};
  const images = index
    .imagesWith(query.namespace, query.chainId)
    .filter((image) => digest === undefined || layerAt(image, query.chainId).descriptor.digest === digest);
  const blobs = new Set(images.map((image) => layerAt(image, query.chainId).descriptor.digest));
  if (blobs.size > 1) {
    // A chain id is what a config claims. Where two images claim it for different blobs, one may be a forgery that
    // would stand below the other's containers; containerd's own pull compares the content, so it is left to it.
    log.warn("Two images claim the same layer for different blobs", {
      reason: "host-content-ambiguous",
      namespace: query.namespace,
      chainId: query.chainId,
    });
    return undefined;
  }
  for (const image of images) {
    const repositories = sources.get(image.namespace)?.get(image.manifestDigest) ?? [];
    if (repositories.length > 0 || reference !== undefined) return { image, repositories };
  }
  return undefined;
}

function layerAt(image: IndexedImage, chainId: string): IndexedImage["layers"][number] {
  return image.layers.find((layer) => layer.chainId === chainId)!;
}

function found(query: LayerQuery, image: IndexedImage, reference: string): FoundLayer {
  const layer = layerAt(image, query.chainId);
  return {
    reference,
    layer: layer.descriptor,
    diffId: layer.diffId,
    manifestDigest: image.manifestDigest,
    manifestAnnotations: image.annotations,
    neighbours: image.layers
      .filter((other) => other !== layer)
      .map(({ descriptor, diffId }) => ({ layer: descriptor, diffId })),
  };
}
