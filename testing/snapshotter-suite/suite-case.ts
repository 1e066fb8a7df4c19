import type { ErrorCode } from "../../src/errors/index.js";
import type { Snapshotter } from "../../src/snapshotters/index.js";
import type { SuiteRig } from "./suite-rig.js";

/** A snapshotter under test, on folders of its own. */
export interface SuiteSnapshotter {
  readonly snapshotter: Snapshotter;
  /** Takes away everything that it and the suite made. */
  dispose(): Promise<void>;
  /** Ends it and opens it again over the same files. */
  restart?(): Promise<Snapshotter>;
  /** Names of what is kept on disk, one a tree, row or not. */
  trees?(): Promise<readonly string[]>;
  /** Plants what a crash may leave: a tree that has no row. */
  plantOrphan?(): Promise<void>;
}

/**
 * What `usage` counts, in the blocks of each inode once:
 * - `own`: what lies above the parents, and the root;
 * - `tree`: all that can be seen;
 * - `difference`: as `own`, without folders that a parent has as they are.
 */
export type UsageCounting = "own" | "tree" | "difference";

/** Whose words the refusals have: a snapshotter's own, or those of containerd's metadata in front of one. */
export type Texts = "backend" | "namespaced";

/** An answer that differs from the one that the suite wants, and why it may. */
export interface OtherAnswer {
  /** "success": what is asked is done. */
  readonly code: ErrorCode | "success";
  readonly because: string;
}

/** What not every snapshotter can do. What is left out here is skipped, by name. */
export interface SuiteTraits {
  /** Commit takes a parent (capability `rebase`). */
  readonly rebases: boolean;
  /** Mounts carry id mappings (capability `remap-ids`). */
  readonly remapsIds: boolean;
  /** A call whose signal has fired is not done. */
  readonly cancels: boolean;
  /** Walk goes in the order of the names' bytes. */
  readonly walksInOrder: boolean;
  /** Of commits at once for one name or key, the others wait and see what the first has done; else UNAVAILABLE tells them to come again. */
  readonly queuesCommits: boolean;
  /** Names may hold the characters 1 to 4; else they are refused as INVALID_ARGUMENT. */
  readonly takesLowestCharacters: boolean;
  readonly usage: UsageCounting | undefined;
  readonly texts: Texts | undefined;
  /** Names of failure points between this snapshotter's steps; the suite ends it at each. */
  readonly failurePoints: readonly string[];
  /** Answers that differ, by "<case>: <what is refused>". One that does not come is a failure too. */
  readonly answers: Readonly<Record<string, OtherAnswer>>;
  /** Cases that can't hold, by name, each with its reason. */
  readonly without: Readonly<Record<string, string>>;
}

export const noTraits: SuiteTraits = {
  rebases: false,
  remapsIds: false,
  cancels: false,
  walksInOrder: false,
  queuesCommits: false,
  takesLowestCharacters: false,
  usage: undefined,
  texts: undefined,
  failurePoints: [],
  answers: {},
  without: {},
};

export type Need =
  | "restart"
  | "trees"
  | "orphans"
  | "failurePoints"
  | "rebases"
  | "remapsIds"
  | "cancels"
  | "walksInOrder"
  | "usage"
  | "texts";

export type Run = (rig: SuiteRig) => Promise<void>;

export interface SuiteCase {
  readonly needs: readonly Need[];
  readonly run: Run;
}

export type SuiteCases = Readonly<Record<string, SuiteCase>>;

/** Cases that need the same. */
export function cases(needs: readonly Need[], runs: Readonly<Record<string, Run>>): SuiteCases {
  return Object.fromEntries(Object.entries(runs).map(([name, run]) => [name, { needs, run }]));
}

/** What a snapshotter under test can't do of what a case needs. */
export function lacking(
  needs: readonly Need[],
  made: SuiteSnapshotter,
  traits: SuiteTraits,
): readonly string[] {
  const has: Record<Need, boolean> = {
    restart: made.restart !== undefined,
    trees: made.trees !== undefined,
    orphans: made.plantOrphan !== undefined,
    failurePoints: traits.failurePoints.length > 0,
    rebases: traits.rebases,
    remapsIds: traits.remapsIds,
    cancels: traits.cancels,
    walksInOrder: traits.walksInOrder,
    usage: traits.usage !== undefined,
    texts: traits.texts !== undefined,
  };
  return needs.filter((need) => !has[need]);
}
