import { badPattern, type PatternNode, parsePattern } from "./pattern-syntax.js";

type Step =
  | { readonly kind: "one"; readonly test: (codePoint: number) => boolean }
  | { readonly kind: "start" | "end" | "match" }
  | { readonly kind: "fork"; targets: readonly number[] };

/** Steps of a compiled pattern; `{m,n}` copies its part. A match costs at most steps times characters. */
const STEPS_MAX = 2000;

/**
 * A pattern of a stranger that is matched in linear time: all ways through it are followed at once, where
 * JavaScript's own RegExp tries them one after the other and can take for ever.
 */
export class Pattern {
  readonly #steps: readonly Step[];

  /** @throws INVALID_ARGUMENT */
  constructor(text: string) {
    const steps: Step[] = [];
    emit(parsePattern(text), steps, text);
    steps.push({ kind: "match" });
    this.#steps = steps;
  }

  /** Whether the pattern matches anywhere in the text. */
  matches(text: string): boolean {
    const characters = Array.from(text, (character) => character.codePointAt(0)!);
    let states = new Set<number>();
    for (let position = 0; position <= characters.length; position += 1) {
      states.add(0);
      const edges = { isStart: position === 0, isEnd: position === characters.length };
      if (this.#follow(states, edges)) return true;
      if (edges.isEnd) break;
      const next = new Set<number>();
      for (const state of states) {
        const step = this.#steps[state]!;
        if (step.kind === "one" && step.test(characters[position]!)) next.add(state + 1);
      }
      states = next;
    }
    return false;
  }

  /** Adds all states that can be reached without a character (a set grows while it is walked). */
  #follow(states: Set<number>, edges: { isStart: boolean; isEnd: boolean }): boolean {
    for (const state of states) {
      const step = this.#steps[state]!;
      if (step.kind === "match") return true;
      if (step.kind === "fork") for (const target of step.targets) states.add(target);
      if (step.kind === "start" && edges.isStart) states.add(state + 1);
      if (step.kind === "end" && edges.isEnd) states.add(state + 1);
    }
    return false;
  }
}

function emit(node: PatternNode, steps: Step[], text: string): void {
  if (steps.length > STEPS_MAX) throw badPattern(text, `want at most ${STEPS_MAX} steps`);
  switch (node.kind) {
    case "one":
    case "start":
    case "end":
      steps.push(node);
      return;
    case "sequence":
      for (const part of node.nodes) emit(part, steps, text);
      return;
    case "choice":
      emitChoice(node.nodes, steps, text);
      return;
    case "repeat":
      emitRepeat(node, steps, text);
  }
}

function emitChoice(nodes: readonly PatternNode[], steps: Step[], text: string): void {
  const fork: Step = { kind: "fork", targets: [] };
  steps.push(fork);
  const starts: number[] = [];
  const exits: { kind: "fork"; targets: readonly number[] }[] = [];
  for (const node of nodes) {
    starts.push(steps.length);
    emit(node, steps, text);
    const exit: Step = { kind: "fork", targets: [] };
    steps.push(exit);
    exits.push(exit);
  }
  fork.targets = starts;
  for (const exit of exits) exit.targets = [steps.length];
}

function emitRepeat(node: PatternNode & { kind: "repeat" }, steps: Step[], text: string): void {
  const { min, max } = node;
  for (let count = 0; count < min; count += 1) emit(node.node, steps, text);
  if (max === Number.POSITIVE_INFINITY) {
    const fork: Step = { kind: "fork", targets: [] };
    const start = steps.length;
    steps.push(fork);
    emit(node.node, steps, text);
    steps.push({ kind: "fork", targets: [start] });
    fork.targets = [start + 1, steps.length];
    return;
  }
  const forks: { kind: "fork"; targets: readonly number[] }[] = [];
  for (let count = min; count < max; count += 1) {
    const fork: Step = { kind: "fork", targets: [steps.length + 1] };
    steps.push(fork);
    forks.push(fork);
    emit(node.node, steps, text);
  }
  for (const fork of forks) fork.targets = [...fork.targets, steps.length];
}
