import type { Labels } from "../../src/content/index.js";

/** Names one thing that a client can see. */
export type FactName =
  | readonly ["image", namespace: string, name: string]
  | readonly ["lease", namespace: string, id: string]
  | readonly ["lease-resource", namespace: string, lease: string, type: string, id: string]
  | readonly ["content", namespace: string, digest: string]
  | readonly ["snapshot", namespace: string, key: string];

/** What there is to see of it, times aside. */
export interface FactValue {
  readonly labels?: Labels;
  /** An image's. */
  readonly target?: string;
  /** A blob's, in bytes. */
  readonly size?: number;
  /** A snapshot's. */
  readonly kind?: string;
  readonly parent?: string;
  /** Digests of a committed snapshot's files by path. */
  readonly files?: Readonly<Record<string, string>>;
}

/** By the fact's name as JSON. */
export type Facts = Map<string, FactValue>;

/** undefined: it is no more. */
export type FactChange = readonly [name: string, value: FactValue | undefined];

export const SNAPSHOTTER = "overlayfs";

export function factKey(...name: FactName): string {
  return JSON.stringify(name);
}

export function factName(key: string): FactName {
  return JSON.parse(key) as FactName;
}

/** The same text for values that are the same. */
export function valueText(value: FactValue | undefined): string {
  if (value === undefined) return "absent";
  const sorted = (_: string, field: unknown): unknown =>
    typeof field === "object" && field !== null
      ? Object.fromEntries(Object.entries(field).sort(([one], [other]) => (one < other ? -1 : 1)))
      : field;
  return JSON.stringify(value, sorted);
}

export function applyChanges(facts: Facts, changes: readonly FactChange[]): void {
  for (const [key, value] of changes) {
    if (value === undefined) facts.delete(key);
    else facts.set(key, value);
  }
}

/** What a collection must keep, told from the facts alone (containerd's rules for roots and references). */
export function reachable(facts: Facts): Set<string> {
  const kept = new Set<string>();
  const waiting: string[] = [];
  const reach = (key: string): void => {
    if (!facts.has(key) || kept.has(key)) return;
    kept.add(key);
    waiting.push(key);
  };
  for (const [key, value] of facts) {
    const [type] = factName(key);
    if (type === "image" || type === "lease" || type === "lease-resource") reach(key);
    else if (value.labels?.["containerd.io/gc.root"] !== undefined) reach(key);
  }
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
    for (const next of referencesOf(key, facts.get(key)!)) reach(next);
  }
  return kept;
}

function referencesOf(key: string, value: FactValue): string[] {
  const name = factName(key);
  const namespace = name[1];
  const found: string[] = [];
  if (value.target !== undefined) found.push(factKey("content", namespace, value.target));
  if (value.parent !== undefined && value.parent !== "")
    found.push(factKey("snapshot", namespace, value.parent));
  if (name[0] === "lease-resource") {
    const [, , , type, id] = name;
    if (type === "content") found.push(factKey("content", namespace, id));
    if (type === `snapshots/${SNAPSHOTTER}`) found.push(factKey("snapshot", namespace, id));
  }
  for (const [label, id] of Object.entries(value.labels ?? {})) {
    if (label.startsWith("containerd.io/gc.ref.content")) found.push(factKey("content", namespace, id));
    if (label.startsWith(`containerd.io/gc.ref.snapshot.${SNAPSHOTTER}`))
      found.push(factKey("snapshot", namespace, id));
  }
  return found;
}
