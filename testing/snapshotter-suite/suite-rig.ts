import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import type { Snapshotter } from "../../src/snapshotters/index.js";
import { withMounts } from "./mounting.js";
import { treeFacts } from "./tree-facts.js";

/** Changes a tree. */
export type Applier = (folder: string) => Promise<void>;

/** The part of a tap test that the cases use. */
export type Asserts = Pick<Test, "equal" | "same" | "match" | "ok" | "rejects">;

export const rootLabels = { "containerd.io/gc.root": "now" } as const;

/** What a case works with. */
export class SuiteRig {
  readonly snapshotter: Snapshotter;
  readonly t: Asserts;
  /** The clock that the snapshotter's times come from. */
  readonly now: () => bigint;
  readonly #prefix: string;
  #count = 0;

  constructor(options: { snapshotter: Snapshotter; t: Asserts; now: () => bigint; prefix: string }) {
    this.snapshotter = options.snapshotter;
    this.t = options.t;
    this.now = options.now;
    this.#prefix = options.prefix;
  }

  /** A name that no other case uses. */
  name(stem: string): string {
    this.#count += 1;
    return `${this.#prefix}-${stem}-${this.#count}`;
  }

  async prepare(key: string, parent = "", labels: Record<string, string> = {}): Promise<void> {
    await this.snapshotter.prepare({ key, parent, labels: { ...rootLabels, ...labels } });
  }

  async view(key: string, parent = "", labels: Record<string, string> = {}): Promise<void> {
    await this.snapshotter.view({ key, parent, labels: { ...rootLabels, ...labels } });
  }

  async commit(name: string, key: string, labels: Record<string, string> = {}): Promise<void> {
    await this.snapshotter.commit({ name, key, parent: "", labels: { ...rootLabels, ...labels } });
  }

  async mounted<Result>(key: string, work: (folder: string) => Promise<Result>): Promise<Result> {
    return await withMounts(await this.snapshotter.mounts(key), work);
  }

  /** A committed snapshot on a parent, changed by an applier. Returns its name. */
  async layer(parent: string, applier: Applier): Promise<string> {
    const key = this.name("active");
    const mounts = await this.snapshotter.prepare({ key, parent, labels: rootLabels });
    await withMounts(mounts, applier);
    const name = this.name("committed");
    await this.commit(name, key);
    return name;
  }

  /** Applies each change as a layer and to a plain folder: after each, a view equals the folder. Returns the names. */
  async checkLayers(appliers: readonly Applier[]): Promise<string[]> {
    const flat = await mkdtemp(join(tmpdir(), "lazuli-flat-"));
    const names: string[] = [];
    try {
      for (const [index, applier] of appliers.entries()) {
        names.push(await this.layer(names.at(-1) ?? "", applier));
        await applier(flat);
        await this.checkView(names.at(-1)!, flat, `layer ${index}`);
      }
    } finally {
      await rm(flat, { recursive: true });
    }
    return names;
  }

  async checkView(parent: string, flat: string, message: string): Promise<void> {
    const key = this.name("view");
    const mounts = await this.snapshotter.view({ key, parent, labels: rootLabels });
    const wanted = await treeFacts(flat);
    this.t.same(await withMounts(mounts, treeFacts), wanted, message);
    await this.snapshotter.remove(key);
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
}

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}
