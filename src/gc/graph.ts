import type { GraphNode, NodeType } from "./contract.js";
import { IntList } from "./int-list.js";
import { holds, type Sort, type UsedCondition } from "./labels.js";
import { NameTable } from "./name-table.js";
import type { Follow, NodeFacts } from "./node-facts.js";
import type { NodePlace } from "./row-kinds.js";

/** Bits of a node: it has a row; it was reached; it was reached by flat references only. */
const EXISTS = 1;
const FULL = 2;
const FLAT = 4;
const MARKED = FULL | FLAT;

/** Codes in the low bits of an edge. */
const follows: readonly Follow[] = ["label", "structure", "whole"];
const FOLLOW_BITS = 2;
const STRUCTURE = 1;
const WHOLE = 2;
const NONE = -1;

/** All nodes of one sort in one namespace. */
interface Space {
  readonly namespace: string;
  readonly sort: Sort;
}

interface Condition {
  readonly from: number;
  readonly conditions: readonly UsedCondition[];
}

/**
 * The reference graph with its marks, which grows only: whatever order facts come in, and when some come twice, the
 * nodes that all facts together reach are marked. Names are numbers and edges linked lists in typed arrays, so a million
 * objects take about 200 MB, most of it their names.
 */
export class Graph {
  readonly #now: bigint;
  readonly #spaces: Space[] = [];
  readonly #spacesByName = new Map<string, Map<Sort, number>>();
  readonly #names = new NameTable();
  readonly #bits = new IntList();
  /** Newest edge of each node, then of each edge the one before it. */
  readonly #lastEdge = new IntList();
  readonly #previousEdge = new IntList();
  readonly #edges = new IntList();
  /** Nodes to follow: the number shifted by one, and 1 for flat. */
  readonly #gray = new IntList();
  readonly #conditions = new Map<number, Condition[]>();
  readonly #usedAt = new Map<number, readonly bigint[]>();
  /** Who marked each node first; only where paths are asked for. */
  readonly #markedBy: IntList | undefined;

  constructor(options: { readonly now: bigint; readonly hasPaths?: boolean }) {
    this.#now = options.now;
    this.#markedBy = options.hasPaths ? new IntList() : undefined;
  }

  get size(): number {
    return this.#names.size;
  }

  /** The number of a name, whether or not there is a row for it. */
  node({ namespace, sort, key }: NodePlace): number {
    // Resources are shared by all namespaces.
    const owner = sort.startsWith("resource/") ? "" : namespace;
    const space = this.#space(owner, sort);
    const id = this.#names.number(space, key);
    if (id === this.#bits.length) {
      this.#bits.push(0);
      this.#lastEdge.push(NONE);
      this.#markedBy?.push(NONE);
    }
    return id;
  }

  place(id: number): NodePlace {
    const { namespace, sort } = this.#spaces[this.#names.space(id)]!;
    return { namespace, sort, key: this.#names.key(id) };
  }

  describe(id: number): GraphNode {
    const { namespace, sort, key } = this.place(id);
    const slash = sort.indexOf("/");
    if (slash < 0) return { type: sort as NodeType, namespace, key };
    return { type: sort.slice(0, slash) as NodeType, namespace, key: `${sort.slice(slash + 1)}/${key}` };
  }

  setExists(id: number): void {
    this.#bits.set(id, this.#bits.at(id) | EXISTS);
  }

  exists(id: number): boolean {
    return (this.#bits.at(id) & EXISTS) !== 0;
  }

  isMarked(id: number): boolean {
    return (this.#bits.at(id) & MARKED) !== 0;
  }

  /** The node that marked this one first; undefined for a root. Needs `hasPaths`. */
  markedBy(id: number): number | undefined {
    const by = this.#markedBy!.at(id);
    return by === NONE ? undefined : by;
  }

  /** Marks a node whatever leads to it. */
  keep(id: number): void {
    this.#mark(id, FULL, NONE);
  }

  /** Takes in what a row says; what it said before stays. */
  add(id: number, facts: NodeFacts): void {
    const { namespace } = this.#spaces[this.#names.space(id)]!;
    if (facts.rootBy !== undefined) this.#mark(id, facts.isFlat ? FLAT : FULL, NONE);
    for (const { direction, sort, key, follow } of facts.references) {
      const other = this.node({ namespace, sort, key });
      if (direction === "to") this.#connect(id, other, follow);
      else this.#connect(other, id, follow);
    }
    for (const { sort, key, conditions } of facts.conditions) {
      const snapshot = this.node({ namespace, sort, key });
      const present = this.#conditions.get(snapshot);
      if (present === undefined) this.#conditions.set(snapshot, [{ from: id, conditions }]);
      else present.push({ from: id, conditions });
      this.#check({ from: id, conditions }, snapshot);
    }
    if (facts.usedAt.length === 0) return;
    this.#usedAt.set(id, facts.usedAt);
    for (const condition of this.#conditions.get(id) ?? []) this.#check(condition, id);
  }

  /** Follows up to so many nodes. @returns whether all that is reached is marked now */
  follow(nodesMax: number): boolean {
    for (let left = nodesMax; left > 0 && this.#gray.length > 0; left -= 1) {
      const gray = this.#gray.pop();
      const id = gray >>> 1;
      const isFlat = (gray & 1) !== 0;
      for (let edge = this.#lastEdge.at(id); edge !== NONE; edge = this.#previousEdge.at(edge)) {
        this.#pass(id, this.#edges.at(edge), isFlat);
      }
    }
    return this.#gray.length === 0;
  }

  /** Calls with the other end of each edge of a node. */
  eachTarget(id: number, call: (target: number) => void): void {
    for (let edge = this.#lastEdge.at(id); edge !== NONE; edge = this.#previousEdge.at(edge)) {
      call(this.#edges.at(edge) >>> FOLLOW_BITS);
    }
  }

  /** The nodes of this key, or of this key behind `<snapshotter>/` or `<word>/`, that exist. */
  named(key: string): number[] {
    const found: number[] = [];
    for (const [space, { sort }] of this.#spaces.entries()) {
      const slash = sort.indexOf("/");
      const prefix = `${sort.slice(slash + 1)}/`;
      const names = slash >= 0 && key.startsWith(prefix) ? [key, key.slice(prefix.length)] : [key];
      for (const name of names) {
        const id = this.#names.find(space, name);
        if (id !== undefined && this.exists(id)) found.push(id);
      }
    }
    return found;
  }

  #space(namespace: string, sort: Sort): number {
    let sorts = this.#spacesByName.get(namespace);
    if (sorts === undefined) {
      sorts = new Map();
      this.#spacesByName.set(namespace, sorts);
    }
    let space = sorts.get(sort);
    if (space === undefined) {
      space = this.#spaces.length;
      sorts.set(sort, space);
      this.#spaces.push({ namespace, sort });
    }
    return space;
  }

  #check({ from, conditions }: Condition, snapshot: number): void {
    const usedAt = this.#usedAt.get(snapshot);
    if (usedAt !== undefined && holds(conditions, usedAt, this.#now)) this.#connect(from, snapshot, "label");
  }

  #connect(from: number, to: number, follow: Follow): void {
    const edge = (to << FOLLOW_BITS) | follows.indexOf(follow);
    this.#previousEdge.push(this.#lastEdge.at(from));
    this.#lastEdge.set(from, this.#edges.length);
    this.#edges.push(edge);
    const bits = this.#bits.at(from);
    if ((bits & MARKED) !== 0) this.#pass(from, edge, (bits & FULL) === 0);
  }

  #pass(from: number, edge: number, isFlat: boolean): void {
    const target = edge >>> FOLLOW_BITS;
    const follow = edge & ((1 << FOLLOW_BITS) - 1);
    if (!isFlat || follow === WHOLE) this.#mark(target, FULL, from);
    else if (follow === STRUCTURE) this.#mark(target, FLAT, from);
  }

  #mark(id: number, mark: number, by: number): void {
    const bits = this.#bits.at(id);
    if ((bits & FULL) !== 0 || (bits & mark) !== 0) return;
    if ((bits & MARKED) === 0) this.#markedBy?.set(id, by);
    this.#bits.set(id, bits | mark);
    this.#gray.push((id << 1) | (mark === FLAT ? 1 : 0));
  }
}
