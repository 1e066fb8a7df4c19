import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { ContentStore, Labels } from "../../src/content/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { TARGET_LABEL } from "../../src/metadata/index.js";
import {
  applyChanges,
  type FactChange,
  type FactName,
  type Facts,
  type FactValue,
  factKey,
  factName,
  reachable,
  SNAPSHOTTER,
  valueText,
} from "./facts.js";
import { factsDiffer } from "./facts-differ.js";
import type { JournalWriter } from "./journal.js";
import { Random } from "./random.js";
import { NAMESPACES, readFacts } from "./read-facts.js";
import type { StoreParts } from "./store-parts.js";

const ROOT = { "containerd.io/gc.root": "test" };
const BLOB_BYTES_MAX = 24 * 1024;
/** Things of one kind in a namespace above which the workload removes instead of adding. */
const LIVE_MAX = 8;

/** The bytes that an ingest named `<seed>` uploads. */
export function ingestBytes(ref: string): { readonly bytes: Buffer; readonly digest: Digest } {
  const random = new Random(Number(ref.replace(/^ingest-/, "")));
  const bytes = random.bytes(1 + random.below(BLOB_BYTES_MAX));
  return { bytes, digest: sha256(bytes) };
}

type Step = () => Promise<void>;

/** Does what clients do, chosen by a seed, and writes down in a journal what it was promised. */
export class Workload {
  readonly #parts: StoreParts;
  readonly #journal: JournalWriter;
  readonly #random: Random;
  readonly #seed: number;
  readonly #facts: Facts = new Map();
  /** By digest: the ref that makes such a blob. */
  readonly #refs = new Map<string, string>();
  /** By namespace: an upload that broke off. */
  readonly #leftRefs = new Map<string, string>();
  #names = 0;

  constructor(options: {
    readonly parts: StoreParts;
    readonly journal: JournalWriter;
    readonly seed: number;
  }) {
    this.#parts = options.parts;
    this.#journal = options.journal;
    this.#seed = options.seed;
    this.#random = new Random(options.seed);
  }

  /** Each operation once, in an order that gives each something to work on. */
  async script(): Promise<void> {
    const steps: Step[] = [
      async () => await this.#createLease("one"),
      async () => await this.#put("one", { isLeased: true }),
      async () => await this.#put("one", { isLeased: false }),
      async () => await this.#put("two", { isLeased: false, isAdopting: true }),
      async () => await this.#leaveIngest("one"),
      async () => await this.#leaveIngest("two"),
      async () => await this.#abortIngest("two"),
      async () => await this.#label("one"),
      async () => await this.#createImage("one"),
      async () => await this.#updateImage("one"),
      async () => await this.#prepare("one", { isLeased: false }),
      async () => await this.#commit("one"),
      async () => await this.#prepare("one", { isLeased: true }),
      async () => await this.#commit("one"),
      async () => await this.#prepareLazily("one"),
      async () => await this.#prepare("one", { isLeased: false }),
      async () => await this.#addResource("one"),
      async () => await this.#removeSnapshot("one"),
      async () => await this.#deleteContent("two"),
      async () => await this.#deleteContent("one"),
      async () => await this.#deleteContent("one"),
      async () => await this.#deleteImage("one"),
      async () => await this.#prepare("one", { isLeased: true }),
      async () => await this.#deleteLease("one"),
      async () => await this.#collect(),
    ];
    for (const step of steps) await step();
  }

  /** A put that the one before it may have left half done; that the blob is there already is a success as well. */
  async putAgain(ref: string): Promise<void> {
    const { bytes, digest } = ingestBytes(ref);
    const value: FactValue = { size: bytes.length, labels: ROOT };
    await this.#promised([[factKey("content", "one", digest), value]], async () => {
      const store = this.#parts.content.for({ namespace: "one" });
      try {
        const writer = await store.writer({ ref, total: bytes.length, expected: digest });
        await writer.write(bytes.subarray(writer.offset));
        await writer.commit({ size: bytes.length, expected: digest, labels: ROOT });
      } catch (thrown) {
        if (LazuliError.from(thrown).code !== "ALREADY_EXISTS") throw thrown;
      }
    });
  }

  /** `count` operations by chance, and at the end a look whether the modules agree with what was promised. */
  async run(count: number): Promise<void> {
    for (let done = 0; done < count; done += 1) await this.#one();
    const allowed = new Map([...this.#facts].map(([key, value]) => [key, new Set([valueText(value)])]));
    const problems = factsDiffer(await readFacts(this.#parts), allowed);
    if (problems.length > 0) throw new Error(`Without any crash:\n${problems.join("\n")}`);
  }

  async #one(): Promise<void> {
    const random = this.#random;
    const namespace = random.pick(NAMESPACES)!;
    const isLeased = random.chance(50);
    const growing: Step[] = [
      async () => await this.#putSeveral(namespace),
      async () => await this.#put(namespace, { isLeased, isAdopting: random.chance(20) }),
      async () => await this.#put(namespace, { isLeased }),
      async () => await this.#leaveIngest(namespace),
      async () => await this.#createImage(namespace),
      async () => await this.#createLease(namespace),
      async () => await this.#prepare(namespace, { isLeased }),
      async () => await this.#prepare(namespace, { isLeased }),
      async () => await this.#prepareLazily(namespace),
      async () => await this.#commit(namespace),
      async () => await this.#commit(namespace),
    ];
    const others: Step[] = [
      async () => await this.#label(namespace),
      async () => await this.#updateImage(namespace),
      async () => await this.#addResource(namespace),
      async () => await this.#deleteResource(namespace),
      async () => await this.#removeSnapshot(namespace),
    ];
    const shrinking: Step[] = [
      async () => await this.#deleteImage(namespace),
      async () => await this.#deleteLease(namespace),
      async () => await this.#deleteContent(namespace),
      async () => await this.#abortIngest(namespace),
      async () => await this.#removeSnapshot(namespace),
      async () => await this.#collect(),
    ];
    const isFull = this.#namesOf("content", namespace).length > LIVE_MAX;
    const steps = isFull ? [...others, ...shrinking, ...shrinking] : [...growing, ...others, ...shrinking];
    await random.pick(steps)!();
  }

  async #put(
    namespace: string,
    options: { readonly isLeased: boolean; readonly isAdopting?: boolean },
  ): Promise<void> {
    const other = NAMESPACES.find((name) => name !== namespace)!;
    const adopted = this.#random.pick(
      this.#namesOf("content", other).filter(
        ([, , digest]) => !this.#facts.has(factKey("content", namespace, digest!)),
      ),
    );
    const ref = options.isAdopting === true ? this.#refs.get(adopted?.[2] ?? "") : undefined;
    await this.#putBlob(namespace, { ref: ref ?? this.#newRef(), isLeased: options.isLeased });
  }

  async #putSeveral(namespace: string): Promise<void> {
    const puts = [1, 2, 3].map(
      async () => await this.#putBlob(namespace, { ref: this.#newRef(), isLeased: false }),
    );
    await Promise.all(puts);
  }

  async #putBlob(
    namespace: string,
    options: { readonly ref: string; readonly isLeased: boolean },
  ): Promise<void> {
    const { bytes, digest } = ingestBytes(options.ref);
    this.#refs.set(digest, options.ref);
    const lease = options.isLeased ? this.#random.pick(this.#namesOf("lease", namespace))?.[2] : undefined;
    const child = this.#random.chance(30)
      ? this.#random.pick(this.#namesOf("content", namespace))?.[2]
      : undefined;
    const labels: Labels = {
      ...(lease === undefined || this.#random.chance(30) ? ROOT : {}),
      ...(child === undefined ? {} : { "containerd.io/gc.ref.content.0": child }),
    };
    const changes: FactChange[] = [
      [factKey("content", namespace, digest), { size: bytes.length, labels }],
      ...leased(namespace, lease, { type: "content", id: digest }),
    ];
    await this.#promised(changes, async () => {
      const store = this.#parts.content.for({ namespace, lease });
      const writer = await store.writer({ ref: options.ref, total: bytes.length, expected: digest });
      if (writer.offset < bytes.length) await writeInTwo(writer, bytes);
      await writer.commit({ size: bytes.length, expected: digest, labels });
    });
  }

  /** An upload that breaks off, or one that did is taken up again. */
  async #leaveIngest(namespace: string): Promise<void> {
    const left = this.#leftRefs.get(namespace);
    if (left !== undefined) {
      this.#leftRefs.delete(namespace);
      await this.#putBlob(namespace, { ref: left, isLeased: true });
      return;
    }
    const ref = this.#newRef();
    this.#leftRefs.set(namespace, ref);
    const { bytes } = ingestBytes(ref);
    const writer = await this.#parts.content
      .for({ namespace })
      .writer({ ref, total: bytes.length, expected: undefined });
    await writer.write(Buffer.from(bytes.subarray(0, bytes.length >> 1)));
    await writer.close();
  }

  async #abortIngest(namespace: string): Promise<void> {
    const ref = this.#leftRefs.get(namespace);
    if (ref === undefined) return;
    this.#leftRefs.delete(namespace);
    await this.#parts.content.for({ namespace }).abort(ref);
  }

  async #label(namespace: string): Promise<void> {
    const digest = this.#random.pick(this.#namesOf("content", namespace))?.[2] as Digest | undefined;
    if (digest === undefined) return;
    const key = factKey("content", namespace, digest);
    const value = this.#facts.get(key)!;
    const mark = String(this.#random.below(1000));
    await this.#promised([[key, { ...value, labels: { ...value.labels, mark } }]], async () => {
      const store: ContentStore = this.#parts.content.for({ namespace });
      await store.update({ digest, labels: { mark }, fieldPaths: ["labels.mark"] });
    });
  }

  async #deleteContent(namespace: string): Promise<void> {
    const digest = this.#random.pick(this.#namesOf("content", namespace))?.[2] as Digest | undefined;
    if (digest === undefined) return;
    await this.#promised([[factKey("content", namespace, digest), undefined]], async () => {
      await this.#parts.content.for({ namespace }).delete(digest);
    });
  }

  async #createImage(namespace: string): Promise<void> {
    const digest = this.#random.pick(this.#namesOf("content", namespace))?.[2];
    if (digest === undefined) return;
    const name = this.#newName("image");
    const image = { namespace, name, labels: { made: name }, target: targetOf(digest) };
    await this.#promised(
      [[factKey("image", namespace, name), { labels: image.labels, target: digest }]],
      async () => {
        await this.#parts.images.create(image);
      },
    );
  }

  async #updateImage(namespace: string): Promise<void> {
    const name = this.#random.pick(this.#namesOf("image", namespace))?.[2];
    const digest = this.#random.pick(this.#namesOf("content", namespace))?.[2];
    if (name === undefined || digest === undefined) return;
    const labels = { updated: this.#newName("update") };
    await this.#promised([[factKey("image", namespace, name), { labels, target: digest }]], async () => {
      await this.#parts.images.update({ namespace, name, labels, target: targetOf(digest), fieldPaths: [] });
    });
  }

  async #deleteImage(namespace: string): Promise<void> {
    const name = this.#random.pick(this.#namesOf("image", namespace))?.[2];
    if (name === undefined) return;
    await this.#promised([[factKey("image", namespace, name), undefined]], async () => {
      await this.#parts.images.delete({ namespace, name });
    });
  }

  async #createLease(namespace: string): Promise<void> {
    const id = this.#newName("lease");
    await this.#promised([[factKey("lease", namespace, id), { labels: { made: id } }]], async () => {
      await this.#parts.leases.create({ namespace, id, labels: { made: id } });
    });
  }

  async #deleteLease(namespace: string): Promise<void> {
    const id = this.#random.pick(this.#namesOf("lease", namespace))?.[2];
    if (id === undefined) return;
    const resources = this.#namesOf("lease-resource", namespace).filter((name) => name[2] === id);
    const changes = [...resources.map((name) => JSON.stringify(name)), factKey("lease", namespace, id)];
    await this.#promised(
      changes.map((key): FactChange => [key, undefined]),
      async () => {
        await this.#parts.leases.delete({ namespace, id });
      },
    );
  }

  async #addResource(namespace: string): Promise<void> {
    const id = this.#random.pick(this.#namesOf("lease", namespace))?.[2];
    const things = [...this.#namesOf("content", namespace), ...this.#namesOf("snapshot", namespace)];
    const thing = this.#random.pick(things);
    if (id === undefined || thing === undefined) return;
    const type = thing[0] === "content" ? "content" : `snapshots/${SNAPSHOTTER}`;
    const resource = { type, id: thing[2]! };
    await this.#promised(leased(namespace, id, resource), async () => {
      await this.#parts.leases.addResource({ namespace, id, resource });
    });
  }

  async #deleteResource(namespace: string): Promise<void> {
    const name = this.#random.pick(this.#namesOf("lease-resource", namespace));
    if (name === undefined) return;
    const [, , id, type, of] = name as [string, string, string, string, string];
    await this.#promised([[JSON.stringify(name), undefined]], async () => {
      await this.#parts.leases.deleteResource({ namespace, id, resource: { type, id: of } });
    });
  }

  async #prepare(namespace: string, options: { readonly isLeased: boolean }): Promise<void> {
    const key = this.#newName("active");
    const lease = options.isLeased ? this.#random.pick(this.#namesOf("lease", namespace))?.[2] : undefined;
    const parent = this.#random.pick(["", ...this.#snapshots(namespace, "committed")])!;
    const labels: Labels = lease === undefined ? ROOT : {};
    const changes: FactChange[] = [
      [factKey("snapshot", namespace, key), { kind: "active", parent, labels, files: {} }],
      ...leased(namespace, lease, { type: `snapshots/${SNAPSHOTTER}`, id: key }),
    ];
    await this.#promised(changes, async () => {
      await this.#parts.snapshots.for({ namespace, lease }).prepare({ key, parent, labels });
    });
  }

  /** A layer of an image that the snapshotter has lazily; both namespaces ask for the same ones. */
  async #prepareLazily(namespace: string): Promise<void> {
    const key = this.#newName("lazy");
    const name = `chain-${this.#random.below(6)}`;
    if (this.#facts.has(factKey("snapshot", namespace, name))) return;
    const labels = { ...ROOT, [TARGET_LABEL]: name };
    const shown = { ...labels, "containerd.io/snapshot/remote": "remote snapshot" };
    const value: FactValue = { kind: "committed", parent: "", labels: shown, files: {} };
    await this.#promised([[factKey("snapshot", namespace, name), value]], async () => {
      try {
        await this.#parts.snapshots.for({ namespace }).prepare({ key, parent: "", labels });
      } catch (thrown) {
        if (LazuliError.from(thrown).code === "ALREADY_EXISTS") return;
        throw thrown;
      }
      throw new Error("the snapshot is not lazy");
    });
  }

  async #commit(namespace: string): Promise<void> {
    const key = this.#random.pick(this.#snapshots(namespace, "active"));
    if (key === undefined) return;
    const snapshotter = this.#parts.snapshots.for({ namespace });
    const files = await this.#fill(await snapshotter.mounts(key));
    const name = this.#newName("layer");
    const { parent = "" } = this.#facts.get(factKey("snapshot", namespace, key))!;
    const changes: FactChange[] = [
      [factKey("snapshot", namespace, key), undefined],
      [factKey("snapshot", namespace, name), { kind: "committed", parent, labels: ROOT, files }],
    ];
    await this.#promised(changes, async () => {
      await snapshotter.commit({ name, key, labels: ROOT, parent: "" });
    });
  }

  /** Writes files as an unpack does, without syncing them; tells their digests. */
  async #fill(mounts: readonly { source: string; options: readonly string[] }[]) {
    const upper = mounts[0]!.options.find((option) => option.startsWith("upperdir="))?.slice(9);
    const files: Record<string, string> = {};
    for (const path of ["etc/name", "a", "usr/lib/b"].slice(0, 1 + this.#random.below(3))) {
      const bytes = this.#random.bytes(1 + this.#random.below(9000));
      const file = join(upper ?? mounts[0]!.source, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, bytes);
      files[path] = sha256(bytes);
    }
    return files;
  }

  async #removeSnapshot(namespace: string): Promise<void> {
    const names = this.#namesOf("snapshot", namespace).map((name) => name[2]!);
    const parents = new Set(
      names.map((name) => this.#facts.get(factKey("snapshot", namespace, name))?.parent),
    );
    const name = this.#random.pick(names.filter((one) => !parents.has(one)));
    if (name === undefined) return;
    await this.#promised([[factKey("snapshot", namespace, name), undefined]], async () => {
      await this.#parts.snapshots.for({ namespace }).remove(name);
    });
  }

  async #collect(): Promise<void> {
    const kept = reachable(this.#facts);
    const gone = [...this.#facts.keys()].filter((key) => !kept.has(key));
    await this.#promised(
      gone.map((key): FactChange => [key, undefined]),
      async () => await this.#parts.collect(),
    );
  }

  async #promised(changes: readonly FactChange[], action: Step): Promise<void> {
    const operation = this.#journal.begin(changes);
    try {
      await action();
    } catch (thrown) {
      const names = changes.map(([name]) => name).join(", ");
      throw new Error(`${names}: ${LazuliError.from(thrown).message}`, { cause: thrown });
    }
    this.#journal.end(operation, "acknowledged");
    applyChanges(this.#facts, changes);
  }

  #snapshots(namespace: string, kind: string): string[] {
    return this.#namesOf("snapshot", namespace)
      .map((name) => name[2]!)
      .filter((name) => this.#facts.get(factKey("snapshot", namespace, name))?.kind === kind);
  }

  #namesOf(type: FactName[0], namespace: string): (readonly string[])[] {
    const names = [...this.#facts.keys()].map(factName);
    return names.filter((name) => name[0] === type && name[1] === namespace);
  }

  #newName(kind: string): string {
    this.#names += 1;
    return `${kind}-${this.#names}`;
  }

  #newRef(): string {
    this.#names += 1;
    return `ingest-${this.#seed * 100_000 + this.#names}`;
  }
}

function leased(
  namespace: string,
  lease: string | undefined,
  resource: { readonly type: string; readonly id: string },
): [string, FactValue][] {
  if (lease === undefined) return [];
  return [[factKey("lease-resource", namespace, lease, resource.type, resource.id), {}]];
}

function targetOf(digest: string) {
  return { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1, annotations: {} };
}

async function writeInTwo(
  writer: { readonly offset: number; write(bytes: Uint8Array): Promise<void> },
  bytes: Buffer,
): Promise<void> {
  const middle = writer.offset + ((bytes.length - writer.offset) >> 1);
  await writer.write(Buffer.from(bytes.subarray(writer.offset, middle)));
  await writer.write(Buffer.from(bytes.subarray(middle)));
}
