import { RANGES_REMEMBERED_MAX } from "./limits.js";

interface ServedRange {
  readonly offset: number;
  readonly length: number;
  /** Key of the endpoint. */
  readonly by: string;
}

/** Which endpoint gave which range of one blob last, and whose bytes were found wrong. */
export class ServedRanges {
  readonly #served: ServedRange[] = [];
  readonly #distrusted: ServedRange[] = [];

  noteServed(range: ServedRange): void {
    remember(this.#served, range);
  }

  /** Blames whoever served each part of the range last; gives the keys of those. */
  distrust(range: { readonly offset: number; readonly length: number }): string[] {
    const blamed = new Set<string>();
    for (let index = this.#served.length - 1; index >= 0; index -= 1) {
      const served = this.#served[index]!;
      if (!overlaps(served, range)) continue;
      blamed.add(served.by);
      // An older one that covers the same bytes was replaced by this one.
      if (served.offset <= range.offset && end(served) >= end(range)) break;
    }
    for (const by of blamed) remember(this.#distrusted, { ...range, by });
    return [...blamed];
  }

  /** How often bytes of this range from an endpoint were wrong. */
  distrustOf(by: string, range: { readonly offset: number; readonly length: number }): number {
    return this.#distrusted.filter((one) => one.by === by && overlaps(one, range)).length;
  }
}

function remember(list: ServedRange[], range: ServedRange): void {
  list.push(range);
  if (list.length > RANGES_REMEMBERED_MAX) list.shift();
}

function end(range: { readonly offset: number; readonly length: number }): number {
  return range.offset + range.length;
}

function overlaps(
  left: { readonly offset: number; readonly length: number },
  right: { readonly offset: number; readonly length: number },
): boolean {
  return left.offset < end(right) && right.offset < end(left);
}
