import type { Digest } from "../../src/bytes/index.js";
import {
  containers,
  contents,
  images,
  ingests,
  leaseResources,
  leases,
  namespacedSnapshots,
  sandboxes,
  type Table,
  type Transaction,
} from "../../src/metadata/index.js";
import type { Random } from "../crash/random.js";
import { type Model, nameOf, type Thing } from "./model.js";

export const namespaceNames = ["one", "two"];
export const snapshotters = ["overlayfs", "native"];
const kinds = ["content", "content", "content", "image", "container", "sandbox", "ingest", "lease"];
const NAMES = {
  content: 16,
  image: 6,
  container: 4,
  sandbox: 2,
  lease: 5,
  ingest: 5,
  snapshot: 10,
  layer: 5,
};
const at = { createdAt: 1n, updatedAt: 1n };
const runtime = { runtime: { name: "r", options: undefined }, spec: undefined, extensions: {} };

/** A change of the rows and of the model, to be made in one action. */
export type Operation = (transaction: Transaction, model: Model) => void;

/** Chooses changes of all kinds of rows with all forms of labels, among few names, so that they meet often. */
export class Operations {
  readonly #random: Random;
  readonly #model: Model;

  constructor(random: Random, model: Model) {
    this.#random = random;
    this.#model = model;
  }

  next(): Operation {
    const namespace = this.#pick(namespaceNames);
    const choice = this.#random.below(100);
    if (choice < 15) return this.#listed(namespace);
    const kind = choice < 40 ? `snapshot ${this.#pick(snapshotters)}` : this.#pick(kinds);
    const name = this.#name(kind.split(" ")[0] as keyof typeof NAMES);
    if (this.#random.chance(kind === "content" ? 15 : 40)) return removal({ namespace, kind, name });
    return this.#creation({ namespace, kind, name });
  }

  layerName(): string {
    return this.#name("layer");
  }

  #creation(place: { namespace: string; kind: string; name: string }): Operation {
    const { kind } = place;
    const labels = this.#labels(kind);
    if (kind === "lease") return leaseCreation({ ...place, labels });
    if (kind === "container") {
      const snapshot = { kind: `snapshot ${this.#pick(snapshotters)}`, name: this.#name("snapshot") };
      return written({ ...place, labels, fields: [snapshot] });
    }
    if (kind === "image") {
      return written({ ...place, labels, fields: [{ kind: "content", name: this.#name("content") }] });
    }
    if (kind === "ingest") {
      const fields = this.#random.chance(50) ? [{ kind: "content", name: this.#name("content") }] : [];
      const expireAt = this.#random.chance(60) ? this.#time() : undefined;
      return written({ ...place, labels: {}, fields, expireAt });
    }
    if (!kind.startsWith("snapshot")) return written({ ...place, labels });
    const parent = this.#random.chance(60) ? [{ kind, name: this.#name("snapshot") }] : [];
    const layer = this.#random.chance(40) ? [{ kind: "resource", name: this.#name("layer") }] : [];
    return written({ ...place, labels, fields: [...parent, ...layer] });
  }

  /** Puts something under a lease, or takes it away from one. */
  #listed(namespace: string): Operation {
    const lease = this.#name("lease");
    const [type, id] = this.#pick([
      ["content", this.#name("content")],
      ["images", this.#name("image")],
      ["ingests", this.#name("ingest")],
      [`snapshots/${this.#pick(snapshotters)}`, this.#name("snapshot")],
    ] as const);
    const isAdded = this.#random.chance(75);
    return (transaction, model) => {
      const thing = model.things.get(nameOf({ namespace, kind: "lease", name: lease }));
      if (thing === undefined) return;
      const listed = new Set(thing.listed);
      if (isAdded) {
        listed.add(`${type} ${id}`);
        transaction.put(leaseResources, [namespace, lease, type, id], { type, id });
      } else {
        listed.delete(`${type} ${id}`);
        transaction.delete(leaseResources, [namespace, lease, type, id]);
      }
      model.put({ ...thing, listed });
    };
  }

  #labels(kind: string): Record<string, string> {
    const labels: Record<string, string> = {};
    for (let left = this.#random.below(4); left > 0; left -= 1) {
      const [label, value] = this.#label();
      labels[`containerd.io/gc.${label}`] = value;
    }
    if (kind === "lease" && this.#random.chance(40)) labels["containerd.io/gc.flat"] = "";
    if ((kind === "lease" || kind === "image") && this.#random.chance(50))
      labels["containerd.io/gc.expire"] = this.#random.chance(80) ? iso(this.#time()) : "soon";
    return labels;
  }

  #label(): readonly [string, string] {
    const end = this.#pick(["", "", ".x", "/y", ".l.0", "s"]);
    const snapshotEnd = this.#pick(["", "/y", "/y.z"]);
    const snapshotter = this.#pick(snapshotters);
    switch (this.#random.below(13)) {
      case 0:
        return [this.#pick(["root", "root.x", "flat"]), "1"];
      case 1:
        return [`ref.image${end}`, this.#name("image")];
      case 2:
      case 3:
        return [`ref.snapshot.${snapshotter}${snapshotEnd}`, this.#name("snapshot")];
      case 4:
        return [`ref.layer${end}`, this.#name("layer")];
      case 5:
        return [`bref.container${end}`, this.#name("container")];
      case 6:
        return [`bref.content${end}`, this.#name("content")];
      case 7:
        return [`bref.image${end}`, this.#name("image")];
      case 8:
        return [`bref.snapshot.${snapshotter}${snapshotEnd}`, this.#name("snapshot")];
      case 9:
        return [
          this.#pick([`cond.snapshot.${snapshotter}`, `cond.snapshot/${snapshotter}/x`, "cond.snapshot"]),
          `${this.#pick(["usedat<50s", "usedat>50s", "usedat>80s,usedat<20s", "usedat=50s", "age<1s"])}|${this.#name("snapshot")}`,
        ];
      case 10:
        return ["cond.value-usedat", this.#random.chance(85) ? iso(this.#time()) : "now"];
      default:
        return [`ref.content${end}`, this.#name("content")];
    }
  }

  /** Seconds somewhat before or after the model's time. */
  #time(): number {
    return this.#model.seconds - 100 + this.#random.below(200);
  }

  #name(kind: keyof typeof NAMES): string {
    const number = this.#random.below(NAMES[kind]);
    return kind === "content" ? `sha256:${number.toString(16).padStart(64, "0")}` : `${kind}-${number}`;
  }

  #pick<Item>(items: readonly Item[]): Item {
    return this.#random.pick(items)!;
  }
}

function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

export function tableOf(kind: string): Table<unknown> {
  if (kind === "content") return contents;
  if (kind === "image") return images;
  if (kind === "container") return containers;
  if (kind === "sandbox") return sandboxes;
  if (kind === "ingest") return ingests;
  return kind === "lease" ? leases : namespacedSnapshots;
}

function rowKey({ namespace, kind, name }: { namespace: string; kind: string; name: string }): string[] {
  return kind.startsWith("snapshot ") ? [namespace, kind.slice("snapshot ".length), name] : [namespace, name];
}

function removal(place: { namespace: string; kind: string; name: string }): Operation {
  return (transaction, model) => {
    transaction.delete(tableOf(place.kind), rowKey(place));
    model.delete(nameOf(place));
    if (place.kind !== "lease") return;
    for (const { key } of transaction.entries(leaseResources, [place.namespace, place.name]))
      transaction.delete(leaseResources, key);
  };
}

function leaseCreation(place: Pick<Thing, "namespace" | "kind" | "name" | "labels">): Operation {
  return (transaction, model) => {
    const { namespace, name, labels } = place;
    const listed = model.things.get(nameOf(place))?.listed ?? new Set<string>();
    transaction.put(leases, rowKey(place), { namespace, id: name, labels, createdAt: 1n });
    model.put({ ...place, listed });
  };
}

function written(thing: Thing): Operation {
  return (transaction, model) => {
    model.put(thing);
    const { namespace, kind, name, labels } = thing;
    const key = rowKey(thing);
    const common = { namespace, labels, ...at };
    const field = (kind: string): string => thing.fields?.find((found) => found.kind === kind)?.name ?? "";
    if (kind === "content") {
      transaction.put(contents, key, { ...common, digest: name as Digest, size: 1 });
    } else if (kind === "image") {
      const digest = field("content") as Digest;
      transaction.put(images, key, {
        ...common,
        name,
        target: { mediaType: "m", digest, size: 1, annotations: {} },
      });
    } else if (kind === "container") {
      const snapshot = thing.fields![0]!;
      const snapshotter = snapshot.kind.slice("snapshot ".length);
      const place = { image: "", snapshotter, snapshotKey: snapshot.name, sandboxId: "" };
      transaction.put(containers, key, { ...common, ...runtime, ...place, id: name });
    } else if (kind === "sandbox") {
      transaction.put(sandboxes, key, { ...common, ...runtime, id: name, sandboxer: "" });
    } else if (kind === "ingest") {
      const expected = field("content") === "" ? undefined : (field("content") as Digest);
      const expireAt = thing.expireAt === undefined ? undefined : BigInt(thing.expireAt) * 1_000_000_000n;
      transaction.put(ingests, key, { namespace, ref: name, storeRef: name, expected, expireAt });
    } else {
      const names = { snapshotter: key[1]!, key: name, storeKey: `${field("resource")}#${name}` };
      transaction.put(namespacedSnapshots, key, { ...common, ...names, parent: field(kind) });
    }
  };
}
