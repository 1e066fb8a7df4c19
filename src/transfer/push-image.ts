import type { ContentStore } from "../content/index.js";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  MANIFEST_BYTES_MAX,
  parseReference,
} from "../oci/index.js";
import type { PushTarget } from "../registry/index.js";
import { requireResolvable } from "./image-names.js";
import { matches } from "./platform-filter.js";
import { type BlobPlace, childrenOf, descriptorOf, readStored, sourcesOf } from "./stored-image.js";
import type { ImageStoreWish, RegistryAccess, TransferCall, TransferParts } from "./transfer-contract.js";
import type { TransferLimits } from "./transfer-limits.js";
import { TransferProgress } from "./transfer-progress.js";

export interface PushImage {
  readonly parts: TransferParts;
  readonly limits: TransferLimits;
  readonly call: TransferCall & { readonly lease: string };
  readonly store: ImageStoreWish;
  readonly access: RegistryAccess;
}

/** Bytes that are read of a blob at once. */
const READ_BYTES = 256 * 1024;

/** Writes an image of the store to a registry; blobs of lazy layers are fetched where the registry has not got them. */
export async function pushImage(push: PushImage): Promise<void> {
  const { parts, call, store: wish, access } = push;
  const image = parts.images.get({ namespace: call.namespace, name: wish.name });
  const to = `OCI Registry (${access.reference})`;
  const root = descriptorOf(image.target);
  call.report?.({ event: `Pushing to ${to}` });
  call.report?.({ event: "pushing content", name: image.name, descriptor: root });
  const place = requireResolvable(access.reference);
  await using opened = await parts.openRegistry(access);
  const target = await opened.registry.pushTarget(access.reference);
  // Its last news come behind the end of the push, as containerd's do: ctr shows the end only then.
  using progress = new TransferProgress({ root: image.name, moving: "uploading", report: call.report });
  await new Pushing({ ...push, target, progress, place }).run(root);
  call.report?.({ event: "pushed content", name: image.name, descriptor: root });
  call.report?.({ event: `Completed push to ${to}`, descriptor: root });
}

interface Seen {
  readonly descriptor: Descriptor;
  /** Repositories of the same host that have what lies below a manifest. */
  readonly sources: readonly string[];
}

interface PushingParts extends PushImage {
  readonly target: PushTarget;
  readonly progress: TransferProgress;
  readonly place: BlobPlace;
}

class Pushing {
  readonly #push: PushingParts;
  readonly #content: ContentStore;
  readonly #blobs = new Map<string, Seen>();
  /** Children before their parents. */
  readonly #documents = new Map<string, Descriptor>();

  constructor(push: PushingParts) {
    this.#push = push;
    this.#content = push.parts.wholeContent(push.call);
  }

  async run(root: Descriptor): Promise<void> {
    const { limits } = this.#push;
    await this.#collect({ descriptor: root, sources: [] });
    const works = [...this.#blobs.values()].map(
      async (blob) => await limits.uploads(async () => await this.#blob(blob)),
    );
    const results = await Promise.allSettled(works);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    for (const document of this.#documents.values()) await this.#document(document, root);
  }

  async #collect({ descriptor, sources }: Seen): Promise<void> {
    const { store: wish, call, place, progress } = this.#push;
    const { mediaType, digest } = descriptor;
    if (this.#blobs.has(digest) || this.#documents.has(digest)) return;
    progress.add(descriptor);
    if (!isManifestType(mediaType) && !isIndexType(mediaType)) {
      this.#blobs.set(digest, { descriptor, sources });
      return;
    }
    const all = await childrenOf(this.#content, descriptor, { signal: call.signal });
    const children = all.filter((child) => matches(wish.platforms, child));
    progress.addChildren(descriptor, children);
    const { labels } = await this.#content.info(digest);
    const below = [...new Set([...sources, ...sourcesOf(labels, place.hostname)])];
    for (const child of children) await this.#collect({ descriptor: child, sources: below });
    this.#documents.set(digest, descriptor);
  }

  async #blob({ descriptor, sources }: Seen): Promise<void> {
    const { target, progress, place, call } = this.#push;
    const { digest, size } = descriptor;
    const { signal } = call;
    signal.throwIfAborted();
    const { labels } = await this.#content.info(digest);
    const mountFrom = [...sourcesOf(labels, place.hostname), ...sources].find(
      (repository) => repository !== place.repository,
    );
    const content = this.#content;
    const open = async function* (): AsyncGenerator<Uint8Array> {
      await using reader = await content.open(digest, { signal });
      for (let offset = 0; offset < reader.size; ) {
        const piece = await reader.read(offset, READ_BYTES);
        offset += piece.length;
        progress.moved(descriptor, offset);
        yield piece;
      }
    };
    const outcome = await target.pushBlob({ digest, size, open, mountFrom, signal });
    if (outcome === "pushed") progress.complete(descriptor);
    else progress.exists(descriptor);
  }

  async #document(descriptor: Descriptor, root: Descriptor): Promise<void> {
    const { target, access, progress, call } = this.#push;
    const { digest, mediaType } = descriptor;
    const { signal } = call;
    const bytes = await readStored(this.#content, digest, { signal, bytesMax: MANIFEST_BYTES_MAX });
    const { tag } = parseReference(access.reference);
    // The tag is the root's; what lies below it is found by its digest.
    const named = digest === root.digest ? tag : undefined;
    await target.pushManifest({ bytes, digest, mediaType, tag: named, signal });
    progress.complete(descriptor);
  }
}
