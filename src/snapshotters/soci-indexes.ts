import { SingleFlight } from "../async/index.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import { resourceExhausted } from "../errors/index.js";
import type { SociIndex as LayerIndex, LoadOptions } from "../layer/index.js";
import { log } from "../observe/index.js";
import { makeReference, parseReference } from "../oci/index.js";
import {
  type IndexLookup,
  type PrefetchReference,
  parsePrefetch,
  parseSociIndex,
  type SociIndex,
  type SpanRange,
  sociDiscovery,
  ZTOC_BYTES_MAX,
} from "../soci/index.js";
import type { LayerRegistry } from "./external-toc.js";

export interface SociImage {
  /** The image that the layers belong to; its index lies in the same repository. */
  readonly reference: string;
  /** undefined: only a label can name the index. */
  readonly manifestDigest: Digest | undefined;
  readonly manifestAnnotations: Readonly<Record<string, string>>;
  /** Of the snapshot that is prepared. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface SociIndexesOptions {
  readonly registry: LayerRegistry;
  /** Whether the annotation on an image's manifest counts. */
  readonly takesAnnotation: boolean;
  /** Whether what refers to an image counts: anyone who may push to its repository can add that. */
  readonly takesReferrers: boolean;
}

/** Indexes that are remembered; the oldest is fetched again when it is next asked for. */
const INDEXES_MAX = 256;

/** The SOCI indexes of images: found once for each image, however many layers ask. */
export class SociIndexes {
  readonly #options: SociIndexesOptions;
  readonly #known = new Map<string, SociIndex | undefined>();
  readonly #finding = new SingleFlight<string, SociIndex | undefined>();

  constructor(options: SociIndexesOptions) {
    this.#options = options;
  }

  /** Whether the image may have an index, without a look at the network. @throws INVALID_ARGUMENT */
  lookup({ manifestDigest, manifestAnnotations, labels }: SociImage): IndexLookup {
    const { takesAnnotation, takesReferrers } = this.#options;
    return sociDiscovery({
      labels,
      manifestDigest: manifestDigest ?? NO_MANIFEST,
      manifestAnnotations,
      takesAnnotation,
      takesReferrers: takesReferrers && manifestDigest !== undefined,
    });
  }

  /** The zTOC of one layer of an image, by the index that the lookup says. */
  loader(image: SociImage, lookup: IndexLookup, layer: Digest): LayerIndex["load"] {
    return async ({ signal }) => {
      const index = await this.#index(image.reference, lookup, signal);
      const found = index?.ztocs.get(layer);
      if (found === undefined) return undefined;
      const { digest, size } = found;
      if (size > ZTOC_BYTES_MAX) {
        throw resourceExhausted(`Cannot read zTOC: want at most ${ZTOC_BYTES_MAX} bytes, got ${size}`, {
          subject: layer,
          reason: "ztoc-too-large",
        });
      }
      const { reference } = image;
      const { registry } = this.#options;
      const [ztoc, prefetch] = await Promise.all([
        registry.fetchBlobBytes({ reference, digest, maxBytes: size, signal }),
        this.#prefetch({ reference, artifact: index?.prefetches.get(layer), signal }),
      ]);
      return { ztoc, digest, prefetch };
    };
  }

  /** What is read first. It is advice only: a layer is as good without it. */
  async #prefetch(options: {
    readonly reference: string;
    readonly artifact: PrefetchReference | undefined;
    readonly signal: LoadOptions["signal"];
  }): Promise<readonly SpanRange[] | undefined> {
    const { reference, artifact, signal } = options;
    if (artifact === undefined) return undefined;
    const { digest, size: maxBytes } = artifact;
    try {
      const { registry } = this.#options;
      return parsePrefetch(await registry.fetchBlobBytes({ reference, digest, maxBytes, signal }));
    } catch (thrown) {
      signal?.throwIfAborted();
      log.warn("Cannot read what an index says is read first", { reference, digest, error: String(thrown) });
      return undefined;
    }
  }

  async #index(
    reference: string,
    lookup: IndexLookup,
    signal: LoadOptions["signal"],
  ): Promise<SociIndex | undefined> {
    if (lookup.kind === "none") return undefined;
    const key = `${reference} ${lookup.kind === "digest" ? lookup.digest : lookup.manifest}`;
    if (this.#known.has(key)) return this.#known.get(key);
    return await this.#finding.run(
      key,
      async (flight) => {
        const index = await this.#find(reference, lookup, flight);
        for (const oldest of this.#known.keys()) {
          if (this.#known.size < INDEXES_MAX) break;
          this.#known.delete(oldest);
        }
        this.#known.set(key, index);
        return index;
      },
      signal,
    );
  }

  async #find(
    reference: string,
    lookup: Exclude<IndexLookup, { kind: "none" }>,
    signal: AbortSignal,
  ): Promise<SociIndex | undefined> {
    const { registry } = this.#options;
    const place = parseReference(reference);
    const at = (digest: Digest): string => makeReference({ ...place, tag: undefined, digest }).toString();
    if (lookup.kind === "digest") {
      const { bytes } = await registry.fetchManifest({ reference: at(lookup.digest), signal });
      return parseSociIndex(bytes);
    }
    const { manifest, artifactType } = lookup;
    const [first] = await registry.referrers({ reference, subject: manifest, artifactType, signal });
    if (first === undefined) return undefined;
    const { bytes } = await registry.fetchManifest({ reference: at(first.digest), signal });
    return parseSociIndex(bytes, { subject: manifest });
  }
}

/** Stands for a manifest that nobody named: no referrer is asked for then. */
const NO_MANIFEST = parseDigest(`sha256:${"0".repeat(64)}`);
