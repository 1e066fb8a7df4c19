import { type Facts, valueText } from "./facts.js";
import type { Allowed } from "./journal.js";

/** Where the facts are none of those that the journal allows, one sentence each. */
export function factsDiffer(facts: Facts, allowed: Allowed): string[] {
  const problems: string[] = [];
  for (const key of new Set([...facts.keys(), ...allowed.keys()])) {
    const actual = valueText(facts.get(key));
    const texts = allowed.get(key) ?? new Set([valueText(undefined)]);
    if (!texts.has(actual)) problems.push(`${key} is ${actual}, expected ${[...texts].join(" or ")}`);
  }
  return problems;
}
