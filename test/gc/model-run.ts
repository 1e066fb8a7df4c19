import type { Test } from "tap";
import { type Collectible, type Collector, createCollector } from "../../src/gc/index.js";
import type { Change, Metadata } from "../../src/metadata/index.js";
import { armFailurePoint, failurePointNames } from "../../src/observe/index.js";
import type { Random } from "../../testing/crash/random.js";
import { Model, nameOf, Operations, tableOf } from "../../testing/gc-model/index.js";

/** Small, so that others come between any two steps. */
const limits = { pageRows: 7, batchRows: 3, sliceMs: 0, changedRowsMax: 5 };
const tables = ["content", "image", "container", "sandbox", "ingest", "lease", "snapshot"].map(tableOf);

/** Rows and model side by side: changes are made to both in the same action, so they agree on the order of everything. */
export class ModelRun {
  readonly #t: Test;
  readonly #metadata: Metadata;
  readonly #random: Random;
  readonly #model = new Model();
  readonly #operations: Operations;
  #collector: Collector;
  /** What is wrong, with the first words of each. */
  readonly faults: string[] = [];
  removed = 0;

  constructor(options: { readonly t: Test; readonly metadata: Metadata; readonly random: Random }) {
    this.#t = options.t;
    this.#metadata = options.metadata;
    this.#random = options.random;
    this.#operations = new Operations(options.random, this.#model);
    this.#collector = this.#restarted();
    this.#metadata.observe((changes) => this.#check(changes));
  }

  async operate(count: number): Promise<void> {
    const writes: Promise<void>[] = [];
    for (let left = count; left > 0; left -= 1) {
      if (this.#random.chance(10)) this.#addLayer();
      const operation = this.#operations.next();
      writes.push(this.#metadata.write((transaction) => operation(transaction, this.#model)));
      // Some share a commit, some have turns of the event loop between them.
      if (this.#random.chance(50)) await new Promise((resolve) => setImmediate(resolve));
      if (this.#random.chance(10)) await Promise.all(writes.splice(0));
    }
    await Promise.all(writes);
  }

  /** A collection while others write. */
  async collectBeside(operations: number): Promise<void> {
    await Promise.all([this.#collector.collect(), this.operate(operations)]);
  }

  /** A collection that ends at a random step, as a kill would end it, and the start of the next process. */
  async collectKilled(): Promise<void> {
    const points = failurePointNames().filter((name) => name.startsWith("gc."));
    const name = this.#random.pick(points)!;
    const killed = new Error("killed");
    armFailurePoint({
      name,
      pass: 1 + this.#random.below(3),
      fire: () => {
        throw killed;
      },
    });
    try {
      await this.#collector.collect();
    } catch (thrown) {
      if (thrown !== killed) throw thrown;
    } finally {
      armFailurePoint({ name: "none", pass: 0, fire: () => undefined });
    }
    this.#collector = this.#restarted();
  }

  /** A collection with nobody else, after which exactly the reachable is there. */
  async collectAndCompare(): Promise<void> {
    this.#model.seconds += this.#random.below(30);
    const expected = this.#model.garbage();
    const plan = await this.#collector.plan();
    const planned = plan.unreachable.map(({ type, namespace, key }) => {
      const slash = key.indexOf("/");
      if (type === "snapshot") {
        return nameOf({ namespace, kind: `snapshot ${key.slice(0, slash)}`, name: key.slice(slash + 1) });
      }
      return nameOf({ namespace, kind: type, name: type === "resource" ? key.slice(slash + 1) : key });
    });
    this.#same("plan", planned, expected);
    const stats = await this.#collector.collect();
    const count = Object.values(stats.removed).reduce((sum, number) => sum + number, 0);
    if (count !== expected.size) this.faults.push(`removed ${count}, not ${expected.size}`);
    this.removed += count;
    this.#same("rows", this.#rows(), new Set([...this.#model.things.keys()].filter(isRow)));
    this.#same("garbage left", [...this.#model.garbage()], new Set());
  }

  /** Paths end at the thing, begin at a root, and are empty for garbage only. */
  async explainSome(): Promise<void> {
    const things = [...this.#model.things.values()];
    const thing = this.#random.pick(things);
    if (thing === undefined) return;
    const garbage = this.#model.garbage();
    const found = await this.#collector.why(thing.name);
    for (const { node, path } of found) {
      if (node.type !== "content" && node.type !== "image") continue;
      const isGarbage = garbage.has(nameOf({ ...node, kind: node.type, name: node.key }));
      if (isGarbage !== (path.length === 0)) this.faults.push(`why ${thing.name} says ${path.length} steps`);
      if (path.length > 0 && path.at(-1)!.node.key !== node.key) this.faults.push("why ends elsewhere");
      if (path[0]?.by === "root") this.faults.push(`why does not know the root of ${thing.name}`);
      if (path.some(({ by }) => by === "reference")) this.faults.push(`why lost a step to ${thing.name}`);
    }
  }

  #restarted(): Collector {
    return createCollector({
      metadata: this.#metadata,
      content: { sweep: async () => ({ bytesFreed: 0 }) },
      snapshotters: new Map(),
      collectibles: [this.#layers()],
      now: () => BigInt(this.#model.seconds) * 1_000_000_000n,
      limits,
    });
  }

  #layers(): Collectible {
    const layers = (): string[] =>
      [...this.#model.things.values()].filter(({ kind }) => kind === "resource").map(({ name }) => name);
    return {
      label: "layer",
      all: async () => layers(),
      ofSnapshot: (_, storeKey) => {
        const layer = storeKey.slice(0, storeKey.indexOf("#"));
        return layer === "" ? [] : [layer];
      },
      remove: async (key, isKept) => {
        if (isKept()) return false;
        const name = nameOf({ namespace: "", kind: "resource", name: key });
        if (!this.#model.garbage().has(name)) this.faults.push(`removed ${name}, which is kept`);
        this.#model.delete(name);
        return true;
      },
    };
  }

  #addLayer(): void {
    this.#model.put({
      namespace: "",
      kind: "resource",
      name: this.#operations.layerName(),
      labels: {},
    });
  }

  /** Sees the collector's removals in the order of all actions, so it can ask the model at that very moment. */
  #check(changes: readonly Change[]): void {
    if (!this.#collector.isOwn(changes)) return;
    const garbage = this.#model.garbage();
    const gone = new Set<string>();
    for (const { table, key } of changes) {
      const kind = tables.findIndex(({ name }) => name === table);
      if (kind < 0) continue;
      const isSnapshot = key.length === 3;
      const name = nameOf({
        namespace: String(key[0]),
        kind: isSnapshot ? `snapshot ${key[1]}` : kindOf(table),
        name: String(key.at(-1)),
      });
      if (!garbage.has(name)) this.faults.push(`removed ${name}, which is kept`);
      gone.add(name);
      this.#model.delete(name);
    }
    for (const thing of this.#model.things.values()) {
      if (!garbage.has(nameOf(thing))) continue;
      for (const field of thing.fields ?? []) {
        const target = nameOf({ ...thing, ...field });
        if (gone.has(target))
          this.faults.push(`removed ${target} before ${nameOf(thing)}, which leads to it`);
      }
    }
  }

  #rows(): string[] {
    return tables.flatMap((table) =>
      [...this.#metadata.entries(table, [])].map(({ key }) =>
        nameOf({
          namespace: String(key[0]),
          kind: key.length === 3 ? `snapshot ${key[1]}` : kindOf(table.name),
          name: String(key.at(-1)),
        }),
      ),
    );
  }

  #same(what: string, actual: readonly string[], expected: ReadonlySet<string>): void {
    const found = new Set(actual);
    for (const name of found)
      if (!expected.has(name)) this.faults.push(`${what}: ${name} should not be there`);
    for (const name of expected) if (!found.has(name)) this.faults.push(`${what}: ${name} is not there`);
    if (this.faults.length > 0) this.#t.comment(this.faults.slice(0, 5).join("\n"));
  }
}

const kindsByTable = new Map(
  ["content", "image", "container", "sandbox", "ingest", "lease"].map((kind) => [tableOf(kind).name, kind]),
);

function kindOf(table: string): string {
  return kindsByTable.get(table) ?? "snapshot";
}

function isRow(name: string): boolean {
  return !name.startsWith("|resource|");
}
