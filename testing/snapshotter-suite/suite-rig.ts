import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import type { ErrorCode } from "../../src/errors/index.js";
import type { Mount, SnapshotInfo, Snapshotter } from "../../src/snapshotters/index.js";
import { withMounts } from "./mounting.js";
import type { SuiteSnapshotter, SuiteTraits } from "./suite-case.js";
import { treeFacts } from "./tree-facts.js";

/** Changes a tree. */
export type Applier = (folder: string) => Promise<void>;

/** The part of a tap test that the cases use. */
export type Asserts = Pick<Test, "equal" | "same" | "match" | "ok" | "rejects">;

/** A code, and a part of the message in each layer's words. */
export type Refusal =
  | ErrorCode
  | { readonly code: ErrorCode; readonly backend: RegExp; readonly namespaced: RegExp };

export interface RigOptions {
  readonly snapshotter: () => Snapshotter;
  readonly made: SuiteSnapshotter;
  readonly restart: () => Promise<void>;
  readonly t: Asserts;
  readonly now: () => bigint;
  readonly traits: SuiteTraits;
  readonly caseName: string;
  /** Takes the exceptions that were needed. */
  readonly answered: Set<string>;
}

export const rootLabels = { "containerd.io/gc.root": "now" } as const;

/** What a case works with. */
export class SuiteRig {
  readonly t: Asserts;
  readonly traits: SuiteTraits;
  /** The clock that the snapshotter's times come from. */
  readonly now: () => bigint;
  readonly #options: RigOptions;
  #count = 0;

  constructor(options: RigOptions) {
    this.t = options.t;
    this.traits = options.traits;
    this.now = options.now;
    this.#options = options;
  }

  /** The snapshotter as it is now: another object after `restart`. */
  get snapshotter(): Snapshotter {
    return this.#options.snapshotter();
  }

  /** What all names of this case begin with. */
  get prefix(): string {
    return `${this.#options.caseName}-`;
  }

  /** A name that no other case uses. */
  name(stem: string): string {
    this.#count += 1;
    return `${this.prefix}${stem}-${this.#count}`;
  }

  /** Needs `restart`. */
  async restart(): Promise<void> {
    await this.#options.restart();
  }

  /** Needs `trees`. */
  async trees(): Promise<readonly string[]> {
    return [...(await this.#options.made.trees!())].sort();
  }

  /** Needs `orphans`. */
  async plantOrphan(): Promise<void> {
    await this.#options.made.plantOrphan!();
  }

  async prepare(key: string, parent = "", labels: Record<string, string> = {}): Promise<readonly Mount[]> {
    return await this.snapshotter.prepare({ key, parent, labels: { ...rootLabels, ...labels } });
  }

  async view(key: string, parent = "", labels: Record<string, string> = {}): Promise<readonly Mount[]> {
    return await this.snapshotter.view({ key, parent, labels: { ...rootLabels, ...labels } });
  }

  /** `parent`: to set one at commit. */
  async commit(
    name: string,
    key: string,
    { parent = "", labels = {} }: { parent?: string; labels?: Record<string, string> } = {},
  ): Promise<void> {
    await this.snapshotter.commit({ name, key, parent, labels: { ...rootLabels, ...labels } });
  }

  async walked(filters: readonly string[] = []): Promise<SnapshotInfo[]> {
    const infos: SnapshotInfo[] = [];
    for await (const info of this.snapshotter.walk(filters)) infos.push(info);
    return infos;
  }

  /** What this case has made and not removed, in name order. */
  async own(filters: readonly string[] = []): Promise<SnapshotInfo[]> {
    const infos = (await this.walked(filters)).filter(({ name }) => name.startsWith(this.prefix));
    return infos.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async ownNames(filters: readonly string[] = []): Promise<string[]> {
    return (await this.own(filters)).map(({ name }) => name);
  }

  async mounted<Result>(key: string, work: (folder: string) => Promise<Result>): Promise<Result> {
    return await withMounts(await this.snapshotter.mounts(key), work);
  }

  /** A committed snapshot on a parent, changed by an applier. Returns its name. */
  async layer(parent: string, applier: Applier): Promise<string> {
    const key = this.name("active");
    await withMounts(await this.prepare(key, parent), applier);
    const name = this.name("committed");
    await this.commit(name, key);
    return name;
  }

  /** Applies each change as a layer and to a plain folder: after each, a view equals the folder. Returns the names. */
  async checkLayers(appliers: readonly Applier[]): Promise<string[]> {
    const names: string[] = [];
    await this.withFolder(async (flat) => {
      for (const [index, applier] of appliers.entries()) {
        names.push(await this.layer(names.at(-1) ?? "", applier));
        await applier(flat);
        await this.checkView(names.at(-1)!, flat, `layer ${index}`);
      }
    });
    return names;
  }

  async checkView(parent: string, flat: string, message: string): Promise<void> {
    const wanted = await treeFacts(flat);
    this.t.same(await this.viewed(parent, treeFacts), wanted, message);
  }

  /** What the work finds in a view, which is gone afterwards. */
  async viewed<Result>(parent: string, work: (folder: string) => Promise<Result>): Promise<Result> {
    const key = this.name("view");
    const mounts = await this.view(key, parent);
    try {
      return await withMounts(mounts, work);
    } finally {
      await this.snapshotter.remove(key);
    }
  }

  /** A plain folder that the work may fill. */
  async withFolder(work: (folder: string) => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), "lazuli-flat-"));
    try {
      await work(folder);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  /** Checks how a call is refused, or that it has the other answer which this snapshotter may give. */
  async refuses(what: string, refusal: Refusal, work: Promise<unknown>): Promise<void> {
    const { traits, caseName, answered } = this.#options;
    const { code, message } = await outcome(work);
    const exception = `${caseName}: ${what}`;
    const other = traits.answers[exception];
    if (other !== undefined) {
      answered.add(exception);
      this.t.equal(code, other.code, `${what}: ${other.because}`);
      return;
    }
    this.t.equal(code, typeof refusal === "string" ? refusal : refusal.code, `${what} (${message})`);
    if (typeof refusal !== "string" && traits.texts !== undefined) {
      this.t.match(message, refusal[traits.texts], `${what}: words`);
    }
  }

  /** Checks of calls made at once how many are done, and that the others have the codes they should. */
  async race(
    works: readonly Promise<unknown>[],
    wanted: { done: number; losers: readonly ErrorCode[]; what: string },
  ): Promise<void> {
    const { done, what } = wanted;
    const losers: readonly string[] = [
      ...wanted.losers,
      ...(this.traits.queuesCommits ? [] : ["UNAVAILABLE"]),
    ];
    const outcomes = await Promise.all(works.map(outcome));
    const failed = outcomes.filter(({ code }) => code !== "success");
    this.t.equal(outcomes.length - failed.length, done, what);
    const strange = failed.filter(({ code }) => !losers.includes(code));
    this.t.same(strange, [], `${what}; all others: ${losers.join(" or ")}`);
  }

  /** What is removed may stay on disk: not every client can ask for a cleaning (containerd 1.6's metadata has none). */
  async cleanup(): Promise<void> {
    const { code, message } = await outcome(this.snapshotter.cleanup());
    this.t.ok(code === "success" || code === "UNIMPLEMENTED", `cleanup: ${code} ${message}`);
  }

  /** Whether there is a snapshot of that name. */
  async has(name: string): Promise<boolean> {
    const { code, message } = await outcome(this.snapshotter.stat(name));
    this.t.ok(code === "success" || code === "NOT_FOUND", `stat of ${name}: ${code} ${message}`);
    return code === "success";
  }

  /** Removes what this case has made, children first. */
  async removeOwn(): Promise<void> {
    for (let left = await this.own(); left.length > 0; left = await this.own()) {
      const parents = new Set(left.map(({ parent }) => parent));
      for (const { name } of left) if (!parents.has(name)) await this.snapshotter.remove(name);
    }
  }
}

async function outcome(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  return await work.then(
    () => ({ code: "success", message: "" }),
    (thrown: { code?: unknown; message?: unknown }) => ({
      code: String(thrown.code ?? "no code"),
      message: String(thrown.message),
    }),
  );
}

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}
