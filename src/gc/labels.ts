import { parseGoDuration, parseRfc3339 } from "./go-time.js";

/** What a name in the graph belongs to, inside of a namespace. */
export type Sort =
  | "content"
  | "image"
  | "container"
  | "sandbox"
  | "lease"
  | "ingest"
  | `snapshot/${string}`
  | `resource/${string}`;

/** The snapshot was used less (`<`) or more (`>`) than this long ago. */
export interface UsedCondition {
  readonly operator: "<" | ">";
  readonly nanoseconds: bigint;
}

/** What one label says to the collection (reference/containerd.md §4.2; core/metadata/gc.go). */
export type LabelMeaning =
  | { readonly kind: "root" }
  | { readonly kind: "flat" }
  /** Nanoseconds since 1970. */
  | { readonly kind: "expire" | "used-at"; readonly at: bigint }
  /** `to`: the thing with the label keeps the named one. `from`: the named one keeps the thing with the label. */
  | { readonly kind: "to" | "from"; readonly sort: Sort; readonly key: string }
  /** As `to`, while one of the conditions holds for the named snapshot. */
  | {
      readonly kind: "condition";
      readonly sort: Sort;
      readonly key: string;
      readonly conditions: readonly UsedCondition[];
    };

const PREFIX = "containerd.io/gc.";
const REFERENCE = "ref.";
const BACK_REFERENCE = "bref.";
const SNAPSHOT = "snapshot.";
const CONDITION = "cond.snapshot";
const USED_AT = "cond.value-usedat";
const referenceSorts = ["content", "image"] as const;
const backReferenceSorts = ["container", "content", "image"] as const;

/**
 * Reads one label. Undefined when it has no meaning here: another label, a name that goes on without a separator, a time
 * that is none.
 * @param words of the collectibles, whose labels are `containerd.io/gc.ref.<word>`
 */
export function readLabel(
  label: string,
  value: string,
  words: Iterable<string> = [],
): LabelMeaning | undefined {
  if (!label.startsWith(PREFIX)) return undefined;
  const name = label.slice(PREFIX.length);
  if (name.startsWith(REFERENCE)) {
    const sort = sortOf(name.slice(REFERENCE.length), referenceSorts, words);
    return sort === undefined ? undefined : { kind: "to", sort, key: value };
  }
  if (name.startsWith(BACK_REFERENCE)) {
    const sort = sortOf(name.slice(BACK_REFERENCE.length), backReferenceSorts, []);
    return sort === undefined ? undefined : { kind: "from", sort, key: value };
  }
  // containerd asks for the beginning only, here and at the conditions.
  if (name.startsWith("root")) return { kind: "root" };
  if (name === "flat") return { kind: "flat" };
  if (name === "expire") return timed("expire", value);
  if (name.startsWith(USED_AT)) return timed("used-at", value);
  if (name.startsWith(CONDITION)) return conditionOf(name.slice(CONDITION.length), value);
  return undefined;
}

function timed(kind: "expire" | "used-at", value: string): LabelMeaning | undefined {
  const at = parseRfc3339(value);
  return at === undefined ? undefined : { kind, at };
}

function sortOf(name: string, sorts: readonly Sort[], words: Iterable<string>): Sort | undefined {
  if (name.startsWith(SNAPSHOT)) return `snapshot/${beforeSlash(name.slice(SNAPSHOT.length))}`;
  for (const sort of sorts) if (isNamed(name, sort)) return sort;
  for (const word of words) if (isNamed(name, word)) return `resource/${word}`;
  return undefined;
}

/** After the fixed part a name ends or goes on with a separator. */
function isNamed(name: string, fixed: string): boolean {
  if (!name.startsWith(fixed)) return false;
  const next = name[fixed.length];
  return next === undefined || next === "." || next === "/";
}

function beforeSlash(text: string): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

function conditionOf(name: string, value: string): LabelMeaning | undefined {
  const bar = value.indexOf("|");
  if (bar < 0) return undefined;
  const snapshotter = beforeSlash(name.replace(/^[./]+/, ""));
  const conditions = value
    .slice(0, bar)
    .split(",")
    .map(usedCondition)
    .filter((condition) => condition !== undefined);
  if (conditions.length === 0) return undefined;
  return { kind: "condition", sort: `snapshot/${snapshotter}`, key: value.slice(bar + 1), conditions };
}

/** Other operators are allowed by containerd and hold never. */
function usedCondition(text: string): UsedCondition | undefined {
  const match = /^usedat([<>])(?!=)(.*)$/s.exec(text);
  if (match === null) return undefined;
  const nanoseconds = parseGoDuration(match[2]!);
  return nanoseconds === undefined ? undefined : { operator: match[1] as "<" | ">", nanoseconds };
}

/** Whether a condition holds for a snapshot that was used at these times. */
export function holds(conditions: readonly UsedCondition[], usedAt: readonly bigint[], now: bigint): boolean {
  return usedAt.some((at) =>
    conditions.some(({ operator, nanoseconds }) =>
      operator === "<" ? now - at < nanoseconds : now - at > nanoseconds,
    ),
  );
}
