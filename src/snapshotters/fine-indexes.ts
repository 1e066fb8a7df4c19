import { SingleFlight } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { FINE_ARTIFACT_TYPE, type FineBlob, parseFineManifest } from "../fine/index.js";
import type { FineIndex, LoadOptions } from "../layer/index.js";
import { makeReference, parseReference } from "../oci/index.js";
import type { LayerRegistry } from "./external-toc.js";

export interface FineImage {
  /** The image that the layers belong to; its index lies in the same repository. */
  readonly reference: string;
  readonly manifestDigest: Digest;
}

type Tables = ReadonlyMap<Digest, FineBlob>;

/** Images whose indexes are remembered; the oldest is asked for again. */
const IMAGES_MAX = 256;

/** Our own indexes of images, which refer to them: found once for each image, however many layers ask. */
export class FineIndexes {
  readonly #registry: LayerRegistry;
  readonly #known = new Map<string, Tables>();
  readonly #finding = new SingleFlight<string, Tables>();

  constructor({ registry }: { readonly registry: LayerRegistry }) {
    this.#registry = registry;
  }

  /** The table of one layer of an image. */
  loader(image: FineImage, layer: Digest): FineIndex["load"] {
    return async ({ signal }) => {
      const found = (await this.#tables(image, signal)).get(layer);
      if (found === undefined) return undefined;
      const { digest, size: maxBytes } = found;
      const { reference } = image;
      const table = await this.#registry.fetchBlobBytes({ reference, digest, maxBytes, signal });
      return { table, digest };
    };
  }

  async #tables(image: FineImage, signal: LoadOptions["signal"]): Promise<Tables> {
    const key = `${image.reference} ${image.manifestDigest}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const find = async (flight: AbortSignal): Promise<Tables> => {
      const tables = await this.#find(image, flight);
      for (const oldest of this.#known.keys()) {
        if (this.#known.size < IMAGES_MAX) break;
        this.#known.delete(oldest);
      }
      this.#known.set(key, tables);
      return tables;
    };
    return await this.#finding.run(key, find, signal);
  }

  /** Empty where nothing refers to the image. */
  async #find({ reference, manifestDigest: subject }: FineImage, signal: AbortSignal): Promise<Tables> {
    const registry = this.#registry;
    const artifactType = FINE_ARTIFACT_TYPE;
    const [first] = await registry.referrers({ reference, subject, artifactType, signal });
    if (first === undefined) return new Map();
    const { digest } = first;
    const at = makeReference({ ...parseReference(reference), tag: undefined, digest }).toString();
    const { bytes } = await registry.fetchManifest({ reference: at, signal });
    return parseFineManifest(bytes, { subject });
  }
}
