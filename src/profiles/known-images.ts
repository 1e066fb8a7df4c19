import type { Digest } from "../bytes/index.js";
import { IMAGES_KNOWN_MAX, LAYERS_MAX } from "./limits.js";
import type { ReplayedImage } from "./profile-replayer.js";

/**
 * The manifests of images that clients have asked for, by their layers: a trace of a start names the manifest only where
 * its client did.
 */
export class KnownImages {
  readonly #byManifest = new Map<Digest, { readonly reference: string; readonly layers: Set<Digest> }>();

  /** One Prepare may tell some of the layers only. */
  told({ reference, manifest, layers }: ReplayedImage): void {
    if (manifest === undefined) return;
    const before = this.#byManifest.get(manifest);
    // The one that was told last comes last.
    this.#byManifest.delete(manifest);
    for (const oldest of this.#byManifest.keys()) {
      if (this.#byManifest.size < IMAGES_KNOWN_MAX) break;
      this.#byManifest.delete(oldest);
    }
    const all = new Set([...(before?.layers ?? []), ...layers].slice(0, LAYERS_MAX));
    this.#byManifest.set(manifest, { reference, layers: all });
  }

  /** The last one that was told by this reference and has all these layers. */
  manifestOf(image: { readonly reference: string; readonly layers: readonly Digest[] }): Digest | undefined {
    let found: Digest | undefined;
    for (const [manifest, { reference, layers }] of this.#byManifest) {
      if (reference === image.reference && image.layers.every((layer) => layers.has(layer))) found = manifest;
    }
    return found;
  }
}
