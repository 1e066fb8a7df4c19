import {
  ImageCreateSchema,
  ImageDeleteSchema,
  ImageUpdateSchema,
} from "../../gen/containerd/events/image_pb.js";
import { KeyedQueue, SingleFlight } from "../async/index.js";
import type { NamespacedContent } from "../content/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import { type ImageRow, ImageTable, images as imagesTable, type Metadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { Descriptor, Platform } from "../oci/index.js";
import type { CollectionTrigger } from "../services/index.js";
import type { Transferrer } from "../transfer/index.js";
import { CRI_NAMESPACE, type CriImage, type CriImages, type PullRequest } from "./contract.js";
import { credentialProvider, sharingKey } from "./image-credential.js";
import { readImageFacts, readSpecification } from "./image-facts.js";
import { ImageIndex, type IndexedImage } from "./image-index.js";
import { PullActivity, PullWatch } from "./image-pull-watch.js";
import { knownReference, normalReference, recordNames } from "./image-reference.js";

export interface CriImagesOptions {
  readonly metadata: Metadata;
  readonly content: NamespacedContent;
  readonly transferrer: Pick<Transferrer, "pull">;
  readonly events: Pick<EventExchange, "publish">;
  /** Takes what removed images leave behind. */
  readonly collection: CollectionTrigger;
  /** Of this machine. */
  readonly platform: Platform;
  readonly snapshotter: string;
  /** Snapshotters of the runtime handlers that have one of their own. */
  readonly handlerSnapshotters: ReadonlyMap<string, string>;
  /** References of images that kubelets shall keep. */
  readonly pinned: readonly string[];
  /** Lets the collector take the compressed layers of what is unpacked. */
  readonly discardsUnpackedLayers: boolean;
  /** A pull that brings no byte for this long fails; 0: never. */
  readonly progressTimeoutMs: number;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** The images, and what only people who inspect one want to know of it. */
export interface ServedImages extends CriImages, Disposable {
  /** The image's config as the image specification has it. @throws NOT_FOUND */
  specification(image: CriImage): Promise<Record<string, unknown>>;
}

const MANAGED_LABEL = "io.cri-containerd.image";
const PINNED_LABEL = "io.cri-containerd.pinned";
const PINNED = "pinned";
const LAYER_LABEL = "containerd.io/gc.ref.content.l.";

/** The images of `k8s.io` for kubelets, over the stores that containerd's services show too. */
export function criImages(options: CriImagesOptions): ServedImages {
  return new NamespaceImages(options);
}

class NamespaceImages implements ServedImages {
  readonly #options: CriImagesOptions;
  readonly #table: ImageTable;
  readonly #index: ImageIndex;
  readonly #pinned: ReadonlySet<string>;
  readonly #pulls = new SingleFlight<string, string>();
  readonly #activity = new PullActivity();
  /** A removal takes all names that a pull gives, or none of them. */
  readonly #changes = new KeyedQueue<string>();

  constructor(options: CriImagesOptions) {
    this.#options = options;
    const { metadata, content, platform, now } = options;
    this.#table = new ImageTable({ metadata, now });
    this.#pinned = new Set(options.pinned.map((one) => knownReference(one) ?? one));
    this.#index = new ImageIndex({
      metadata,
      namespace: CRI_NAMESPACE,
      content: content.for({ namespace: CRI_NAMESPACE }),
      platform,
      isPinned: ({ name, labels }) => labels[PINNED_LABEL] === PINNED || this.#pinned.has(name),
    });
  }

  async find(reference: string): Promise<IndexedImage | undefined> {
    return await this.#index.find(reference);
  }

  async list(options: { readonly reference?: string | undefined } = {}): Promise<readonly IndexedImage[]> {
    const { reference = "" } = options;
    if (reference === "") return await this.#index.list();
    const image = await this.#index.find(reference);
    return image === undefined ? [] : [image];
  }

  async pull(request: PullRequest): Promise<string> {
    const { credential, serverAddress = "", runtimeHandler, signal } = request;
    if (request.reference === "") {
      throw invalidArgument("Cannot pull an image: want a reference, got none", {
        reason: "reference-invalid",
      });
    }
    const reference = normalReference(request.reference);
    const snapshotter = this.snapshotterOf(runtimeHandler);
    const key = JSON.stringify([reference, snapshotter, sharingKey(credential, serverAddress)]);
    const credentials = credential === undefined ? undefined : credentialProvider(credential, serverAddress);
    const pull = async (shared: AbortSignal): Promise<string> =>
      await this.#pull({ reference, snapshotter, credentials, signal: shared });
    return await this.#pulls.run(key, pull, signal);
  }

  async remove(
    reference: string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const names = await this.#changes.run("", async () => await this.#unnameAll(reference));
    if (names.length === 0) return;
    const { signal = new AbortController().signal } = options;
    await this.#options.collection.scheduleAndWait({ signal });
    log.info("Removed an image", { reference, names: names.length });
  }

  snapshotterOf(runtimeHandler: string): string {
    return this.#options.handlerSnapshotters.get(runtimeHandler) ?? this.#options.snapshotter;
  }

  async specification({ id }: CriImage): Promise<Record<string, unknown>> {
    const store = this.#options.content.for({ namespace: CRI_NAMESPACE });
    return await readSpecification(store, id as IndexedImage["id"]);
  }

  [Symbol.dispose](): void {
    this.#index[Symbol.dispose]();
  }

  async #pull({ reference, snapshotter, credentials, signal }: OnePull): Promise<string> {
    const { transferrer, platform, progressTimeoutMs } = this.#options;
    const labels = this.#labelsOf(reference);
    using watch = new PullWatch({
      reference,
      timeoutMs: progressTimeoutMs,
      activity: this.#activity,
      signal,
    });
    const call = { namespace: CRI_NAMESPACE, lease: undefined, signal: watch.signal, report: watch.report };
    const access = { reference, credentials, headers: {}, hostsFolder: undefined, defaultScheme: undefined };
    const store = {
      name: reference,
      labels,
      platforms: [platform],
      allMetadata: false,
      manifestLimit: 1,
      extraReferences: [],
      unpacks: [{ platform, snapshotter }],
    };
    const target = await transferrer.pull(call, { access, store }).catch((thrown: unknown) => {
      watch.signal.throwIfAborted();
      throw failedPull(reference, thrown);
    });
    const image = await this.#changes.run("", async () => await this.#nameAll(reference, target));
    if (this.#options.discardsUnpackedLayers) await this.#letGoOfLayers(image);
    log.info("Pulled an image", { reference, id: image.id, digest: target.digest, snapshotter });
    return image.id;
  }

  /** Gives the image its other names, and takes away what it has when it is none that can run. */
  async #nameAll(reference: string, target: Descriptor): Promise<IndexedImage> {
    const image = await this.#index.find(reference);
    if (image === undefined) {
      await this.#delete(reference);
      throw failedPull(reference, await this.#fault(reference, target));
    }
    const { mediaType, digest, size, annotations } = target;
    const labels = this.#labelsOf(reference);
    for (const name of [image.id, ...recordNames(reference, digest)]) {
      await this.#name({ name, labels, target: { mediaType, digest, size, annotations } });
    }
    return image;
  }

  /** Deletes all records of an image, or the one of a name whose image can't be read. @returns their names */
  async #unnameAll(reference: string): Promise<readonly string[]> {
    const image = await this.#index.find(reference);
    const known = knownReference(reference);
    const names = image?.names ?? [known ?? reference].filter((name) => this.#has(name));
    // The id goes last: a removal that is cut short can be asked for again by it.
    const ordered = [...names].sort(
      (left, right) => Number(left === image?.id) - Number(right === image?.id),
    );
    for (const name of ordered) await this.#delete(name);
    return ordered;
  }

  #has(name: string): boolean {
    return this.#options.metadata.get(imagesTable, [CRI_NAMESPACE, name]) !== undefined;
  }

  /** Why an image that was pulled is not there. */
  async #fault(reference: string, target: Descriptor): Promise<unknown> {
    const store = this.#options.content.for({ namespace: CRI_NAMESPACE });
    try {
      await readImageFacts(store, target, this.#options.platform);
    } catch (thrown) {
      return thrown;
    }
    return new LazuliError("ABORTED", "it was removed meanwhile", {
      subject: reference,
      reason: "image-removed",
    });
  }

  /** The labels with which a manifest keeps its layers; its config, and what it is unpacked to, stay. */
  async #letGoOfLayers({ manifestDigest: digest }: IndexedImage): Promise<void> {
    const store = this.#options.content.for({ namespace: CRI_NAMESPACE });
    const { labels } = await store.info(digest);
    const keys = Object.keys(labels).filter((key) => key.startsWith(LAYER_LABEL));
    if (keys.length === 0) return;
    const fieldPaths = keys.map((key) => `labels.${key}`);
    await store.update({ digest, labels: {}, fieldPaths });
  }

  #labelsOf(reference: string): Readonly<Record<string, string>> {
    const managed = { [MANAGED_LABEL]: "managed" };
    return this.#pinned.has(reference) ? { ...managed, [PINNED_LABEL]: PINNED } : managed;
  }

  /** Makes a record, or changes what is not as it should be; labels that others gave stay. */
  async #name(record: Pick<ImageRow, "name" | "labels" | "target">): Promise<void> {
    const { name, labels, target } = record;
    const namespace = CRI_NAMESPACE;
    const { events } = this.#options;
    for (;;) {
      try {
        await this.#table.create({ namespace, ...record });
        const event = packedEvent(ImageCreateSchema, { name, labels: { ...labels } });
        events.publish({ namespace, topic: "/images/create", event });
        return;
      } catch (thrown) {
        if (LazuliError.from(thrown).code !== "ALREADY_EXISTS") throw thrown;
      }
      try {
        const before = this.#table.get({ namespace, name });
        const missing = Object.keys(labels).filter((key) => before.labels[key] !== labels[key]);
        if (missing.length === 0 && before.target.digest === target.digest) return;
        const fieldPaths = ["target", ...missing.map((key) => `labels.${key}`)];
        const row = await this.#table.update({ namespace, ...record, fieldPaths });
        const event = packedEvent(ImageUpdateSchema, { name, labels: { ...row.labels } });
        events.publish({ namespace, topic: "/images/update", event });
        return;
      } catch (thrown) {
        // Deleted meanwhile: it is made anew.
        if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
      }
    }
  }

  async #delete(name: string): Promise<void> {
    const namespace = CRI_NAMESPACE;
    try {
      await this.#table.delete({ namespace, name });
    } catch (thrown) {
      if (LazuliError.from(thrown).code === "NOT_FOUND") return;
      throw thrown;
    }
    const event = packedEvent(ImageDeleteSchema, { name });
    this.#options.events.publish({ namespace, topic: "/images/delete", event });
  }
}

interface OnePull {
  readonly reference: string;
  readonly snapshotter: string;
  readonly credentials: ReturnType<typeof credentialProvider> | undefined;
  readonly signal: AbortSignal;
}

function failedPull(reference: string, thrown: unknown): LazuliError {
  const { code, message, reason, hint } = LazuliError.from(thrown);
  return new LazuliError(code, `failed to pull and unpack image ${JSON.stringify(reference)}: ${message}`, {
    subject: reference,
    ...(reason === undefined ? {} : { reason }),
    ...(hint === undefined ? {} : { hint }),
    cause: thrown,
  });
}
