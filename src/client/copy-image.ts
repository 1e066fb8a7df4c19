import pLimit from "p-limit";
import { linkSignals } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
  parseManifestOrIndex,
  selectPlatform,
} from "../oci/index.js";
import type { ImageDocument, ImageSource, ImageTarget } from "../transfer/index.js";
import type { Target, Waiting } from "./messages.js";

/** Blobs at once, as containerd's default has it. */
export const BLOBS_AT_ONCE = 3;
/** Indexes in indexes. */
const DEPTH_MAX = 4;
/** Manifests of one image; an index for all platforms has tens. */
const MANIFESTS_MAX = 1000;

export interface CopyImageOptions extends Waiting {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly platforms: readonly Platform[] | "all";
  /** Layers that stay away: a snapshotter brings them by itself. */
  readonly copiesLayers: boolean;
  readonly onFound?: ((blob: Descriptor) => void) | undefined;
  readonly onDone?: ((blob: Pick<Descriptor, "digest">) => void) | undefined;
}

/** Copies an image as it is: blobs, then manifests, then indexes, and its name last. */
export async function copyImage(options: CopyImageOptions): Promise<Target> {
  using linked = linkSignals([options.signal]);
  const copy = new ImageCopy({ ...options, signal: linked.signal });
  try {
    return await copy.run();
  } catch (thrown) {
    // The first failure ends the others.
    linked.abort(thrown);
    throw thrown;
  }
}

class ImageCopy {
  readonly #options: CopyImageOptions;
  readonly #limit = pLimit(BLOBS_AT_ONCE);
  readonly #blobs = new Map<Digest, Promise<void>>();
  #manifests = 0;

  constructor(options: CopyImageOptions) {
    this.#options = options;
  }

  async run(): Promise<Target> {
    const { source, target, signal } = this.#options;
    const root = await source.root({ signal });
    const mediaType = await this.#document(root, 0);
    const { digest, bytes } = root;
    const named = { mediaType, digest, size: bytes.length, annotations: {}, platform: undefined };
    await target.name(named, { signal });
    return { mediaType, digest, size: bytes.length };
  }

  /** A manifest or index with all below it. Returns its media type. */
  async #document({ bytes, digest, mediaType }: ImageDocument, depth: number): Promise<string> {
    const { source, target, signal } = this.#options;
    this.#manifests += 1;
    if (depth > DEPTH_MAX || this.#manifests > MANIFESTS_MAX) {
      throw invalidArgument(`Cannot copy ${source.description}: its indexes name too many manifests`, {
        subject: digest,
        reason: "index-too-deep",
      });
    }
    const document = parseManifestOrIndex(bytes, { contentType: mediaType });
    if (document.kind === "index") {
      const { platforms } = this.#options;
      const chosen =
        platforms === "all"
          ? document.manifests.filter((one) => isManifestType(one.mediaType) || isIndexType(one.mediaType))
          : [...new Set(platforms.map((one) => selectPlatform(document, one)))];
      for (const one of chosen) await this.#document(await source.document(one, { signal }), depth + 1);
    } else {
      await Promise.all(this.#blobsOf(document).map(async (blob) => await this.#blob(blob)));
    }
    await target.pushManifest({ bytes, digest, mediaType: document.mediaType, signal });
    return document.mediaType;
  }

  #blobsOf({ config, layers }: Manifest): readonly Descriptor[] {
    return this.#options.copiesLayers ? [config, ...layers] : [config];
  }

  #blob(blob: Descriptor): Promise<void> {
    const known = this.#blobs.get(blob.digest);
    if (known !== undefined) return known;
    this.#options.onFound?.(blob);
    const copied = this.#limit(async () => {
      await copyBlob(this.#options, blob);
      this.#options.onDone?.(blob);
    });
    this.#blobs.set(blob.digest, copied);
    return copied;
  }
}

/** One blob as it is; its digest is checked by the target. */
export async function copyBlob(
  places: Pick<CopyImageOptions, "source" | "target" | "signal">,
  blob: Descriptor,
): Promise<void> {
  const { source, target, signal } = places;
  await target.pushBlob({
    digest: blob.digest,
    size: blob.size,
    open: async function* () {
      const opened = await source.openBlob(blob, { signal });
      yield* opened.readRange({ offset: 0, length: blob.size, signal });
    },
    signal,
  });
}
