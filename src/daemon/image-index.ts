import type { Digest } from "../bytes/index.js";
import type { ImageLayer } from "../oci/index.js";

/** Images that are remembered; when full, the one that was learned first goes and is read again when asked for. */
export const IMAGES_MAX = 1024;

/** What one manifest says about its layers. */
export interface IndexedImage {
  readonly namespace: string;
  readonly manifestDigest: Digest;
  readonly annotations: Readonly<Record<string, string>>;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
}

/** Finds the images of a namespace that have a layer with a given chain id. In memory only. */
export class ImageIndex {
  readonly #images = new Map<string, IndexedImage>();
  readonly #byChain = new Map<string, Set<IndexedImage>>();

  has(namespace: string, manifestDigest: Digest): boolean {
    return this.#images.has(`${namespace} ${manifestDigest}`);
  }

  add(image: IndexedImage): void {
    const key = `${image.namespace} ${image.manifestDigest}`;
    if (this.#images.has(key)) return;
    for (const [oldest, old] of this.#images) {
      if (this.#images.size < IMAGES_MAX) break;
      this.#images.delete(oldest);
      this.#forget(old);
    }
    this.#images.set(key, image);
    for (const { chainId } of image.layers) {
      const place = `${image.namespace} ${chainId}`;
      const known = this.#byChain.get(place) ?? new Set();
      this.#byChain.set(place, known.add(image));
    }
  }

  /** Newest learned first. */
  imagesWith(namespace: string, chainId: string): readonly IndexedImage[] {
    return [...(this.#byChain.get(`${namespace} ${chainId}`) ?? [])].reverse();
  }

  #forget(image: IndexedImage): void {
    for (const { chainId } of image.layers) {
      const place = `${image.namespace} ${chainId}`;
      const known = this.#byChain.get(place);
      known?.delete(image);
      if (known?.size === 0) this.#byChain.delete(place);
    }
  }
}
