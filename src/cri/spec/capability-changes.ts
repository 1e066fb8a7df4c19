import type { Capability } from "../../../gen/runtime/v1/api_pb.js";
import { type CapabilitySets, capabilitySets } from "../../spec/index.js";

/**
 * The sets with what a container adds and drops; ALL counts first, so that others can be taken away or given again. Names
 * that Linux lacks stay: runtimes ignore them, as they do those that an older kernel lacks. No ambient ones unless they are
 * asked for.
 */
export function changedCapabilities(
  sets: CapabilitySets,
  asked: Capability | undefined,
  all: readonly string[],
): CapabilitySets {
  if (asked === undefined) return capabilitySets(sets.bounding);
  const { addCapabilities, dropCapabilities, addAmbientCapabilities } = asked;
  const start = hasAll(dropCapabilities) ? [] : hasAll(addCapabilities) ? all : sets.bounding;
  const ambient = names(addAmbientCapabilities, all);
  const dropped = new Set(names(dropCapabilities, []));
  const kept = [...new Set([...start, ...names(addCapabilities, []), ...ambient])].filter(
    (name) => !dropped.has(name),
  );
  const raised = ambient.filter((name) => !dropped.has(name));
  return { ...capabilitySets(kept), ...(raised.length > 0 && { inheritable: raised, ambient: raised }) };
}

function hasAll(asked: readonly string[]): boolean {
  return asked.some((name) => name.toUpperCase() === "ALL");
}

/** With their prefix, which CRI's lack. */
function names(asked: readonly string[], all: readonly string[]): readonly string[] {
  return asked.flatMap((text) => {
    const name = text.toUpperCase();
    if (name === "ALL") return all;
    return [name.startsWith("CAP_") ? name : `CAP_${name}`];
  });
}
