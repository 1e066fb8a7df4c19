import pLimit from "p-limit";
import type { Digest } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { LazuliError } from "../errors/index.js";
import { type ImageRow, images as imagesTable, type Metadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { Platform } from "../oci/index.js";
import type { CriImage } from "./contract.js";
import { type ImageFacts, readImageFacts } from "./image-facts.js";
import { isId, knownReference, shownNames } from "./image-reference.js";

/** An image with all of its names in the store. */
export interface IndexedImage extends CriImage {
  readonly id: Digest;
  readonly manifestDigest: Digest;
  readonly names: readonly string[];
}

export interface ImageIndexOptions {
  readonly metadata: Metadata;
  readonly namespace: string;
  readonly content: ContentStore;
  readonly platform: Platform;
  /** Whether a record is of an image that kubelets shall keep. */
  readonly isPinned: (row: ImageRow) => boolean;
}

interface Named {
  readonly facts: ImageFacts;
  readonly isPinned: boolean;
}

/** Images whose documents are read at once. */
const READERS_MAX = 16;

/**
 * The images of a namespace by id and name, in memory: as many as the image table has rows. What the table's changes
 * touch is read again before the next answer, so that an answer always knows every change that was acknowledged.
 */
export class ImageIndex implements Disposable {
  readonly #options: ImageIndexOptions;
  readonly #watch: Disposable;
  /** Names whose rows are to be read. */
  readonly #dirty: Set<string>;
  readonly #named = new Map<string, Named>();
  /** Names whose documents could not be read: each answer tries again, since content may come after its image. */
  readonly #unreadable = new Set<string>();
  #facts = new Map<Digest, ImageFacts>();
  #byId: ReadonlyMap<string, IndexedImage> | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: ImageIndexOptions) {
    this.#options = options;
    const { metadata, namespace } = options;
    this.#watch = metadata.observe((changes) => {
      for (const { table, key } of changes) {
        if (table === imagesTable.name && key[0] === namespace) this.#dirty.add(String(key[1]));
      }
    });
    this.#dirty = new Set(Array.from(metadata.entries(imagesTable, [namespace]), ({ value }) => value.name));
  }

  /** In the order of the ids. */
  async list(): Promise<readonly IndexedImage[]> {
    return [...(await this.#current()).values()];
  }

  /** By a name, an id, or the beginning of an id that no other image has. */
  async find(reference: string): Promise<IndexedImage | undefined> {
    const images = await this.#current();
    const name = knownReference(reference);
    const named = this.#named.get(reference) ?? (name === undefined ? undefined : this.#named.get(name));
    if (named !== undefined) return images.get(named.facts.id);
    if (isId(reference)) return images.get(reference);
    return withPrefix(images, reference);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  async #current(): Promise<ReadonlyMap<string, IndexedImage>> {
    for (const name of this.#unreadable) this.#dirty.add(name);
    this.#unreadable.clear();
    while (this.#dirty.size > 0 || this.#reading !== undefined) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    this.#byId ??= imagesById(this.#named);
    return this.#byId;
  }

  async #read(): Promise<void> {
    const names = [...this.#dirty];
    this.#dirty.clear();
    const { metadata, namespace } = this.#options;
    try {
      // Changes are told before they are durable, and only what is durable can be read.
      await metadata.write(() => undefined);
    } catch (thrown) {
      for (const name of names) this.#dirty.add(name);
      throw thrown;
    }
    const limit = pLimit(READERS_MAX);
    await Promise.all(
      names.map(async (name) => {
        const row = metadata.get(imagesTable, [namespace, name]);
        const named = row === undefined ? undefined : await limit(() => this.#readNamed(row));
        const before = this.#named.get(name);
        if (before?.facts === named?.facts && before?.isPinned === named?.isPinned) return;
        if (named === undefined) this.#named.delete(name);
        else this.#named.set(name, named);
        this.#byId = undefined;
      }),
    );
    if (this.#facts.size > 2 * this.#named.size) this.#forgetFacts();
  }

  async #readNamed(row: ImageRow): Promise<Named | undefined> {
    const { content, platform, isPinned } = this.#options;
    const { digest } = row.target;
    try {
      const facts = this.#facts.get(digest) ?? (await readImageFacts(content, row.target, platform));
      this.#facts.set(digest, facts);
      return { facts, isPinned: isPinned(row) };
    } catch (thrown) {
      this.#unreadable.add(row.name);
      log.debug("Left out an image whose documents can't be read", {
        name: row.name,
        error: LazuliError.from(thrown).message,
      });
      return undefined;
    }
  }

  #forgetFacts(): void {
    const used = new Set([...this.#named.values()].map(({ facts }) => facts));
    this.#facts = new Map([...this.#facts].filter(([, facts]) => used.has(facts)));
  }
}

function imagesById(named: ReadonlyMap<string, Named>): ReadonlyMap<string, IndexedImage> {
  const groups = new Map<string, { facts: ImageFacts; names: string[]; isPinned: boolean }>();
  for (const [name, { facts, isPinned }] of [...named].sort(([left], [right]) => (left < right ? -1 : 1))) {
    const group = groups.get(facts.id);
    if (group === undefined) groups.set(facts.id, { facts, names: [name], isPinned });
    else {
      group.names.push(name);
      group.isPinned ||= isPinned;
    }
  }
  const ordered = [...groups].sort(([left], [right]) => (left < right ? -1 : 1));
  return new Map(
    ordered.map(([id, { facts, names, isPinned }]) => {
      const shown = shownNames(names);
      const recordName = shown.repoTags[0] ?? shown.repoDigests[0] ?? names[0]!;
      return [id, { ...facts, ...shown, names, isPinned, recordName }];
    }),
  );
}

/** Undefined when none or several ids begin so. */
function withPrefix(images: ReadonlyMap<string, IndexedImage>, reference: string): IndexedImage | undefined {
  const prefix = reference.startsWith("sha256:") ? reference : `sha256:${reference}`;
  if (!/^sha256:[0-9a-f]{1,64}$/.test(prefix)) return undefined;
  let found: IndexedImage | undefined;
  for (const [id, image] of images) {
    if (!id.startsWith(prefix)) continue;
    if (found !== undefined) return undefined;
    found = image;
  }
  return found;
}
