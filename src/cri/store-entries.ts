import { alreadyExists, invalidArgument, notFound } from "../errors/index.js";

interface Named {
  readonly record: { readonly id: string; readonly name: string };
}

/** Pods or containers in memory, by id and by names of which each is taken once. */
export class StoreEntries<Item extends Named> {
  readonly #kind: string;
  readonly #items = new Map<string, Item>();
  readonly #names = new Map<string, string>();

  /** `kind` for messages: `sandbox` or `container`. */
  constructor(kind: string) {
    this.#kind = kind;
  }

  /** Takes a name for an id until release(). Again by the same id is no error. @throws ALREADY_EXISTS `cri-name-taken` */
  reserve({ name, id }: { readonly name: string; readonly id: string }): void {
    const holder = this.#names.get(name);
    if (holder !== undefined && holder !== id) {
      throw alreadyExists(
        `failed to reserve ${this.#kind} name ${JSON.stringify(name)}: name ${JSON.stringify(name)} is reserved for ${JSON.stringify(holder)}`,
        { subject: name, reason: "cri-name-taken" },
      );
    }
    this.#names.set(name, id);
  }

  /** Nothing happens to a name that nobody or another id has. */
  release({ name, id }: { readonly name: string; readonly id: string }): void {
    if (this.#names.get(name) === id) this.#names.delete(name);
  }

  /** By id, or by a prefix that one id alone begins with. @throws INVALID_ARGUMENT `cri-id-ambiguous` */
  find(id: string): Item | undefined {
    const exact = this.#items.get(id);
    if (exact !== undefined || id === "") return exact;
    const found: Item[] = [];
    for (const [key, item] of this.#items) {
      if (!key.startsWith(id)) continue;
      found.push(item);
      if (found.length > 1) {
        throw invalidArgument(`multiple IDs found with provided prefix: ${id}`, {
          subject: id,
          reason: "cri-id-ambiguous",
        });
      }
    }
    return found[0];
  }

  /** As find(). @throws NOT_FOUND `cri-missing` also */
  get(id: string): Item {
    const item = this.find(id);
    if (item !== undefined) return item;
    throw notFound(`an error occurred when try to find ${this.#kind} ${JSON.stringify(id)}`, {
      subject: id,
      reason: "cri-missing",
    });
  }

  /** In the order in which they came. */
  list(): readonly Item[] {
    return [...this.#items.values()];
  }

  /** Shows it, or what it is now. */
  put(item: Item): void {
    this.#items.set(item.record.id, item);
  }

  /** Forgets it with its name. */
  delete(id: string): void {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.#items.delete(id);
    this.release(item.record);
  }
}
