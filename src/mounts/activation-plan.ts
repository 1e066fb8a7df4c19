import { log } from "../observe/index.js";
import type { ActivateMounts } from "./activation.js";

/** Prefixes of a type, in front of one that can be mounted: `format/mkdir/overlay`. */
export const transforms = ["format", "mkdir", "mkfs"] as const;
export type Transform = (typeof transforms)[number];

/** What is to be done with one of the mounts. */
export interface MountSteps {
  readonly transforms: readonly Transform[];
  /** What is left of the type. */
  readonly type: string;
}

export interface ActivationPlan {
  readonly steps: readonly MountSteps[];
  /** Those before it are mounted by the manager; it is itself transformed still. */
  readonly firstSystem: number;
}

/**
 * Which of the mounts the manager makes: all that lie before one whose templates need them, and those up to the last one
 * of a type of its own. Undefined: the list has nothing that mount(2) alone can't make.
 */
export function planActivation(request: ActivateMounts): ActivationPlan | undefined {
  const { mounts, isTemporary = false, allowedTypes = [] } = request;
  const steps = mounts.map(({ type }) => stepsOf(type));
  let firstSystem = -1;
  for (const [index, { transforms: prefixes, type }] of steps.entries()) {
    const whole = mounts[index]!.type;
    const isAllowed = (prefix: string): boolean =>
      allowedTypes.includes(`${prefix}/*`) || allowedTypes.includes(whole);
    if (prefixes.some((prefix) => !isAllowed(prefix))) firstSystem = index;
    if (isTemporary || (type === "loop" && !allowedTypes.includes(type))) firstSystem = index + 1;
  }
  return firstSystem < 0 ? undefined : { steps, firstSystem };
}

function stepsOf(whole: string): MountSteps {
  const found: Transform[] = [];
  let type = whole;
  for (;;) {
    const slash = type.indexOf("/");
    if (slash < 0) break;
    const prefix = transforms.find((name) => name === type.slice(0, slash));
    if (prefix === undefined) {
      log.warn("A mount has an unknown prefix", { type: whole });
      break;
    }
    found.push(prefix);
    type = type.slice(slash + 1);
  }
  return { transforms: found, type };
}
