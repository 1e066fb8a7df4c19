import type {
  ContainerRow,
  ContentRow,
  ImageRow,
  IngestRow,
  Labels,
  LeaseResource,
  LeaseRow,
  NamespacedSnapshotRow,
  SandboxRow,
} from "../metadata/index.js";
import { readLabel, type Sort, type UsedCondition } from "./labels.js";

/**
 * How an edge is followed. A flat lease keeps what it lists without what their labels name.
 * `label`: not from a thing that is kept flat. `structure`: also from there, and then the other end is kept flat too.
 * `whole`: always, and the other end is never flat.
 */
export type Follow = "label" | "structure" | "whole";

export interface Reference {
  /** `to`: this node keeps the named one. `from`: the named one keeps this node. */
  readonly direction: "to" | "from";
  readonly sort: Sort;
  readonly key: string;
  readonly follow: Follow;
  /** The label or field that says so. */
  readonly by: string;
}

export interface ConditionalReference {
  readonly sort: Sort;
  readonly key: string;
  readonly conditions: readonly UsedCondition[];
  readonly by: string;
}

/** What one row says about its node. */
export interface NodeFacts {
  /** Why it is a root; undefined when it is none. */
  rootBy: string | undefined;
  /** A root that keeps its references flat. */
  isFlat: boolean;
  readonly references: Reference[];
  readonly conditions: ConditionalReference[];
  /** Times, in nanoseconds since 1970, that conditions of others look at. */
  readonly usedAt: bigint[];
}

/** What the meaning of rows depends on besides themselves. */
export interface FactContext {
  /** Nanoseconds since 1970; one time for a whole collection. */
  readonly now: bigint;
  /** Label words of the collectibles. */
  readonly words: readonly string[];
  /** Resources that a snapshot leads to. */
  resourcesOf(snapshotter: string, storeKey: string): readonly { word: string; key: string }[];
}

function noFacts(): NodeFacts {
  return { rootBy: undefined, isFlat: false, references: [], conditions: [], usedAt: [] };
}

/** Which kinds of labels count on a row; containerd looks at some on some rows only. */
interface Counting {
  readonly root?: boolean;
  readonly from?: boolean;
  readonly condition?: boolean;
  readonly usedAt?: boolean;
}

function addLabels(facts: NodeFacts, labels: Labels, rules: Counting & { words: readonly string[] }): void {
  for (const label in labels) {
    const meaning = readLabel(label, labels[label]!, rules.words);
    if (meaning === undefined) continue;
    if (meaning.kind === "to" || (meaning.kind === "from" && rules.from)) {
      const { kind: direction, sort, key } = meaning;
      facts.references.push({ direction, sort, key, follow: "label", by: label });
    } else if (meaning.kind === "condition" && rules.condition) {
      const { sort, key, conditions } = meaning;
      facts.conditions.push({ sort, key, conditions, by: label });
    } else if (meaning.kind === "root" && rules.root) facts.rootBy = "gc.root";
    else if (meaning.kind === "used-at" && rules.usedAt) facts.usedAt.push(meaning.at);
  }
}

const EXPIRE = "containerd.io/gc.expire";
const FLAT = "containerd.io/gc.flat";

function isExpired(labels: Labels, now: bigint): boolean {
  if (!Object.hasOwn(labels, EXPIRE)) return false;
  const meaning = readLabel(EXPIRE, labels[EXPIRE]!);
  // A time that is none does not count.
  return meaning?.kind === "expire" && meaning.at < now;
}

export function contentFacts(row: ContentRow, { words }: FactContext): NodeFacts {
  const facts = noFacts();
  addLabels(facts, row.labels, { words, root: true, from: true, condition: true });
  return facts;
}

export function snapshotFacts(row: NamespacedSnapshotRow, context: FactContext): NodeFacts {
  const facts = noFacts();
  const { snapshotter, parent, storeKey } = row;
  if (parent !== "") facts.references.push(structure(`snapshot/${snapshotter}`, parent, "parent"));
  for (const { word, key } of context.resourcesOf(snapshotter, storeKey)) {
    facts.references.push(structure(`resource/${word}`, key, word));
  }
  addLabels(facts, row.labels, { words: context.words, root: true, from: true, usedAt: true });
  return facts;
}

export function imageFacts(row: ImageRow, { words, now }: FactContext): NodeFacts {
  const facts = noFacts();
  if (!isExpired(row.labels, now)) facts.rootBy = "image";
  facts.references.push(structure("content", row.target.digest, "target"));
  addLabels(facts, row.labels, { words, from: true, condition: true });
  return facts;
}

export function ingestFacts(row: IngestRow, { now }: FactContext): NodeFacts {
  const facts = noFacts();
  if (row.expireAt !== undefined && row.expireAt >= now) facts.rootBy = "ingest";
  if (row.expected !== undefined) facts.references.push(labelled("content", row.expected, "expected"));
  return facts;
}

export function containerFacts(row: ContainerRow, { words }: FactContext): NodeFacts {
  const facts = noFacts();
  facts.rootBy = "container";
  if (row.snapshotter !== "" && row.snapshotKey !== "")
    facts.references.push(labelled(`snapshot/${row.snapshotter}`, row.snapshotKey, "snapshot"));
  addLabels(facts, row.labels, { words, from: true });
  return facts;
}

export function sandboxFacts(row: SandboxRow, { words }: FactContext): NodeFacts {
  const facts = noFacts();
  facts.rootBy = "sandbox";
  addLabels(facts, row.labels, { words });
  return facts;
}

export function leaseFacts(row: LeaseRow, { now }: FactContext): NodeFacts {
  const facts = noFacts();
  if (!isExpired(row.labels, now)) facts.rootBy = "lease";
  facts.isFlat = Object.hasOwn(row.labels, FLAT);
  return facts;
}

/** Facts about the lease, not about the resource. */
export function leaseResourceFacts({ type, id }: LeaseResource): NodeFacts {
  const facts = noFacts();
  const by = "leased";
  if (type === "content") facts.references.push(structure("content", id, by));
  else if (type === "images") facts.references.push(structure("image", id, by));
  else if (type === "ingests")
    facts.references.push({ direction: "to", sort: "ingest", key: id, follow: "whole", by });
  else if (type.startsWith("snapshots/"))
    facts.references.push(structure(`snapshot/${type.slice("snapshots/".length)}`, id, by));
  return facts;
}

function structure(sort: Sort, key: string, by: string): Reference {
  return { direction: "to", sort, key, follow: "structure", by };
}

function labelled(sort: Sort, key: string, by: string): Reference {
  return { direction: "to", sort, key, follow: "label", by };
}
