import type { ContentStore } from "../content/index.js";
import { failedPrecondition, LazuliError, notFound, permissionDenied } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type Descriptor, isIndexType, isManifestType, parseManifestOrIndex } from "../oci/index.js";
import type { FetchedManifest, Registry } from "../registry/index.js";
import { fetchBlob } from "./fetch-blob.js";
import { requireResolvable } from "./image-names.js";
import { chosenChildren } from "./platform-filter.js";
import { storeImages } from "./store-image.js";
import { type BlobPlace, childrenOf, isConfig, labelChildren, labelSource } from "./stored-image.js";
import type {
  ImageStoreWish,
  RegistryAccess,
  TransferCall,
  TransferParts,
  TransferRegistry,
} from "./transfer-contract.js";
import { inContext } from "./transfer-errors.js";
import type { TransferLimits } from "./transfer-limits.js";
import { TransferProgress } from "./transfer-progress.js";
import { metWishes, unpackImage } from "./unpack-image.js";

export interface PullImage {
  readonly parts: TransferParts;
  readonly limits: TransferLimits;
  readonly call: TransferCall & { readonly lease: string };
  readonly access: RegistryAccess;
  readonly store: ImageStoreWish;
}

/** Brings an image from a registry into the image store. @returns what its name stands for now */
export async function pullImage(pull: PullImage): Promise<Descriptor> {
  const { parts, call, access, store: wish } = pull;
  const { reference } = access;
  const from = `OCI Registry (${reference})`;
  call.report?.({ event: `Resolving from ${from}` });
  await using opened = await parts.openRegistry(access);
  const { root, fetched, place } = await resolve(opened.registry, reference, call.signal);
  await requireAccepted(pull, root);
  call.report?.({ event: `Pulling from ${from}` });
  call.report?.({ event: "fetching image content", name: reference, descriptor: root });
  metWishes(parts, wish.unpacks);
  // Its last news come behind the end of the pull, as containerd's do: ctr shows the end only then.
  using progress = new TransferProgress({ root: reference, moving: "downloading", report: call.report });
  using failure = new FirstFailure(call.signal);
  const inner = { ...call, signal: failure.signal };
  await new Pulling({ ...pull, call: inner, opened, progress, place, failure }).run(root, fetched);
  const rows = await storeImages(parts, { namespace: call.namespace, wish, target: root });
  // Another image of the repository may have been removed meanwhile, and the credential with it.
  if (opened.isLasting) await opened.shareCredential();
  for (const { name, target } of rows) {
    call.report?.({ event: "saved", name, descriptor: { ...root, annotations: target.annotations } });
  }
  call.report?.({ event: `Completed pull from ${from}` });
  return root;
}

interface Resolved {
  readonly root: Descriptor;
  readonly fetched: FetchedManifest;
  readonly place: BlobPlace;
}

async function resolve(registry: Registry, reference: string, signal: AbortSignal): Promise<Resolved> {
  try {
    const place = requireResolvable(reference);
    const fetched = await registry.fetchManifest({ reference, signal });
    const { mediaType } = parseManifestOrIndex(fetched.bytes, { contentType: fetched.mediaType });
    const { digest, bytes } = fetched;
    const root = { mediaType, digest, size: bytes.length, annotations: {}, platform: undefined };
    return { root, fetched, place };
  } catch (thrown) {
    signal.throwIfAborted();
    const { code, hint } = LazuliError.from(thrown);
    if (code !== "NOT_FOUND") throw inContext("failed to resolve image", thrown);
    throw notFound(`failed to resolve image: ${reference}`, {
      subject: reference,
      reason: "image-missing",
      ...(hint === undefined ? {} : { hint }),
      cause: thrown,
    });
  }
}

async function requireAccepted({ parts, call, access }: PullImage, descriptor: Descriptor): Promise<void> {
  const name = access.reference;
  const what = `${name} with digest ${descriptor.digest}`;
  const { isAccepted, reason } = await parts.verifier
    .judge({ name, descriptor, signal: call.signal })
    .catch((thrown: unknown) => {
      call.signal.throwIfAborted();
      throw inContext(`blocking pull of ${what}: image verifier bindir returned error`, thrown);
    });
  if (isAccepted) {
    log.debug("Image verifiers allowed a pull", { name, digest: descriptor.digest, reason });
    return;
  }
  throw permissionDenied(`image verifier bindir blocked pull of ${what} for reason: ${reason}`, {
    subject: name,
    reason: "image-verifier-blocked",
  });
}

function onlyByClient(reference: string): LazuliError {
  return failedPrecondition(
    `Cannot pull ${reference} lazily: its registry can only be reached with what this client gave`,
    {
      subject: reference,
      reason: "registry-of-client",
      hint: "Put headers, scheme and hosts into the folders of [registry] config_path",
    },
  );
}

/** Ends all parts of a pull when one of them has failed. */
class FirstFailure implements Disposable {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer.reason);

  constructor(outer: AbortSignal) {
    this.#outer = outer;
    if (outer.aborted) this.#onAbort();
    else outer.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for all works to end, and throws what failed first. */
  async all(works: readonly Promise<void>[]): Promise<void> {
    const watched = works.map(async (work) => {
      try {
        await work;
      } catch (thrown) {
        this.#controller.abort(thrown);
        throw thrown;
      }
    });
    await Promise.allSettled(watched);
    // An abort by a sibling carries the sibling's failure as its reason.
    await Promise.all(watched);
  }

  [Symbol.dispose](): void {
    this.#outer.removeEventListener("abort", this.#onAbort);
  }
}

interface PullingParts extends PullImage {
  readonly opened: TransferRegistry;
  readonly progress: TransferProgress;
  readonly place: BlobPlace;
  readonly failure: FirstFailure;
}

class Pulling {
  readonly #pull: PullingParts;
  readonly #content: ContentStore;
  readonly #fetches = new Map<string, Promise<void>>();

  constructor(pull: PullingParts) {
    this.#pull = pull;
    this.#content = pull.parts.content(pull.call);
  }

  async run(root: Descriptor, fetched: FetchedManifest): Promise<void> {
    try {
      await this.#pull.failure.all([this.#visit(root, fetched)]);
    } finally {
      // Downloads that nobody waits for any more end before the lease does.
      await Promise.allSettled(this.#fetches.values());
    }
  }

  async #visit(descriptor: Descriptor, fetched?: FetchedManifest): Promise<void> {
    const { store: wish, call, progress, place } = this.#pull;
    const { mediaType, digest } = descriptor;
    progress.add(descriptor);
    await this.#fetch(descriptor, fetched);
    const isDocument = isManifestType(mediaType) || isIndexType(mediaType);
    if (!isDocument) return;
    const all = await childrenOf(this.#content, descriptor, { signal: call.signal });
    const children = chosenChildren(wish, descriptor, all);
    await labelChildren(this.#content, digest, children);
    progress.addChildren(descriptor, children);
    await labelSource(this.#content, digest, place);
    if (isManifestType(mediaType) && wish.unpacks.length > 0 && (await this.#unpack(descriptor, children)))
      return;
    await this.#pull.failure.all(children.map(async (child) => await this.#visit(child)));
  }

  /** @returns whether all of the manifest is there */
  async #unpack(manifest: Descriptor, children: readonly Descriptor[]): Promise<boolean> {
    const { parts, call, store: wish, opened, access, limits, progress, failure } = this.#pull;
    const config = children.find(isConfig);
    // Attestations and artifacts have no file tree.
    if (config === undefined) return false;
    await failure.all([this.#visit(config)]);
    const { lazy } = parts;
    if (opened.isLasting) await opened.shareCredential();
    else if (lazy === "always") throw onlyByClient(access.reference);
    return await unpackImage({
      // The snapshotter would ask a registry that only the client can lead to, and wait for it in vain.
      parts: { ...parts, lazy: opened.isLasting ? lazy : "never" },
      call,
      store: this.#content,
      wishes: wish.unpacks,
      manifest,
      reference: opened.isLasting ? access.reference : undefined,
      fetch: async (layer) => {
        progress.add(layer);
        await this.#fetch(layer);
      },
      progress,
      unpacks: limits.unpacks,
      turns: limits.turns,
    });
  }

  /** Once for each blob, however often the image names it. */
  async #fetch(descriptor: Descriptor, fetched?: FetchedManifest): Promise<void> {
    const known = this.#fetches.get(descriptor.digest);
    if (known !== undefined) return await known;
    const fetch = this.#fetchOnce(descriptor, fetched);
    this.#fetches.set(descriptor.digest, fetch);
    await fetch;
  }

  async #fetchOnce(descriptor: Descriptor, fetched: FetchedManifest | undefined): Promise<void> {
    const { opened, access, call, limits, progress, place } = this.#pull;
    const outcome = await limits.downloads(async () => {
      call.signal.throwIfAborted();
      return await fetchBlob({
        store: this.#content,
        registry: opened.registry,
        reference: access.reference,
        descriptor,
        known: fetched?.bytes,
        moved: (offset) => progress.moved(descriptor, offset),
        signal: call.signal,
      });
    });
    if (outcome === "exists") progress.exists(descriptor);
    else progress.complete(descriptor);
    await labelSource(this.#content, descriptor.digest, place);
  }
}
