/** One thing of the model, with the words of the rows that are behind it. */
export interface Thing {
  readonly namespace: string;
  /** `content`, `image`, `container`, `sandbox`, `lease`, `ingest`, `resource` or `snapshot <snapshotter>`. */
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Names of things that fields lead to: an image's target, a snapshot's parent, an ingest's blob. */
  readonly fields?: readonly { readonly kind: string; readonly name: string }[];
  /** Of an ingest, in seconds since 1970. */
  readonly expireAt?: number | undefined;
  /** Of a lease. */
  readonly listed?: ReadonlySet<string>;
}

export function nameOf(thing: { namespace: string; kind: string; name: string }): string {
  return [thing.kind === "resource" ? "" : thing.namespace, thing.kind, thing.name].join("|");
}

const named: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/^content(?:[./].*)?$/, () => "content"],
  [/^image(?:[./].*)?$/, () => "image"],
  [/^container(?:[./].*)?$/, () => "container"],
  [/^layer(?:[./].*)?$/, () => "resource"],
  [/^snapshot\.([^/]*)(?:\/.*)?$/, (match) => `snapshot ${match[1]}`],
];
const forwards = ["content", "image", "resource", "snapshot"];
const backwards = ["content", "image", "container", "snapshot"];

function kindIn(text: string, allowed: readonly string[]): string | undefined {
  for (const [pattern, kind] of named) {
    const match = pattern.exec(text);
    if (match !== null && allowed.includes(kind(match).split(" ")[0]!)) return kind(match);
  }
  return undefined;
}

/** What is kept, as sets that grow until nothing is added any more. Slow and plain on purpose. */
export class Model {
  readonly things = new Map<string, Thing>();
  /** Seconds since 1970. */
  seconds = 1_700_000_000;

  put(thing: Thing): void {
    this.things.set(nameOf(thing), thing);
  }

  delete(name: string): void {
    this.things.delete(name);
  }

  /** Names of the things that nothing keeps. */
  garbage(): Set<string> {
    const whole = new Set<string>();
    const flat = new Set<string>();
    for (let before = -1; before !== whole.size + flat.size; ) {
      before = whole.size + flat.size;
      for (const thing of this.things.values()) this.#grow(thing, whole, flat);
    }
    return new Set([...this.things.keys()].filter((name) => !whole.has(name) && !flat.has(name)));
  }

  #grow(thing: Thing, whole: Set<string>, flat: Set<string>): void {
    const own = nameOf(thing);
    const there = (kind: string, name: string): string => nameOf({ ...thing, kind, name });
    if (this.#isRoot(thing)) whole.add(own);
    for (const [label, value] of Object.entries(thing.labels)) {
      const parent = this.#parentOf(thing, label);
      if (parent !== undefined && whole.has(there(parent, value))) whole.add(own);
    }
    if (thing.kind === "lease") {
      if (whole.has(own))
        this.#growListed(thing, "containerd.io/gc.flat" in thing.labels ? flat : whole, whole);
      return;
    }
    for (const { kind, name } of thing.fields ?? []) {
      if (whole.has(own)) whole.add(there(kind, name));
      if (flat.has(own) && (thing.kind === "image" || thing.kind.startsWith("snapshot")))
        flat.add(there(kind, name));
    }
    if (!whole.has(own)) return;
    for (const [label, value] of Object.entries(thing.labels)) {
      const child = /^containerd\.io\/gc\.ref\.(.*)$/.exec(label);
      const kind = child === null ? undefined : kindIn(child[1]!, forwards);
      if (kind !== undefined) whole.add(there(kind, value));
      const kept = this.#conditionally(thing, label, value);
      if (kept !== undefined) whole.add(kept);
    }
  }

  #growListed(lease: Thing, listed: Set<string>, whole: Set<string>): void {
    for (const entry of lease.listed ?? []) {
      const [type, id] = [entry.slice(0, entry.indexOf(" ")), entry.slice(entry.indexOf(" ") + 1)];
      const { namespace } = lease;
      if (type === "ingests") whole.add(nameOf({ namespace, kind: "ingest", name: id }));
      else if (type === "images") listed.add(nameOf({ namespace, kind: "image", name: id }));
      else if (type === "content") listed.add(nameOf({ namespace, kind: "content", name: id }));
      else listed.add(nameOf({ namespace, kind: type.replace("snapshots/", "snapshot "), name: id }));
    }
  }

  #isRoot(thing: Thing): boolean {
    const { kind, labels } = thing;
    const expire = Date.parse(labels["containerd.io/gc.expire"] ?? "") / 1000;
    if (kind === "container" || kind === "sandbox") return true;
    if (kind === "lease" || kind === "image") return !(expire < this.seconds);
    if (kind === "ingest") return thing.expireAt !== undefined && thing.expireAt >= this.seconds;
    const mayBeRoot = kind === "content" || kind.startsWith("snapshot");
    return mayBeRoot && Object.keys(labels).some((label) => label.startsWith("containerd.io/gc.root"));
  }

  #parentOf(thing: Thing, label: string): string | undefined {
    if (["sandbox", "lease", "ingest", "resource"].includes(thing.kind)) return undefined;
    const match = /^containerd\.io\/gc\.bref\.(.*)$/.exec(label);
    return match === null ? undefined : kindIn(match[1]!, backwards);
  }

  /** The name of a snapshot that a label keeps while it was used as the label says. */
  #conditionally(thing: Thing, label: string, value: string): string | undefined {
    if (thing.kind !== "content" && thing.kind !== "image") return undefined;
    const match = /^containerd\.io\/gc\.cond\.snapshot[./]*([^/]*)/.exec(label);
    if (match === null || !value.includes("|")) return undefined;
    const [conditions] = value.split("|", 1);
    const name = nameOf({
      ...thing,
      kind: `snapshot ${match[1]}`,
      name: value.slice(conditions!.length + 1),
    });
    const used = Date.parse(this.things.get(name)?.labels["containerd.io/gc.cond.value-usedat"] ?? "") / 1000;
    if (Number.isNaN(used)) return undefined;
    const age = this.seconds - used;
    const isMet = conditions!.split(",").some((condition) => {
      const parts = /^usedat([<>])(\d+)s$/.exec(condition);
      if (parts === null) return false;
      return parts[1] === "<" ? age < Number(parts[2]) : age > Number(parts[2]);
    });
    return isMet ? name : undefined;
  }
}
