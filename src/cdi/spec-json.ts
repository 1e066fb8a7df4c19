import { parseJson } from "../bytes/index.js";

/** Of a runtime spec. A message of containerd's API is shorter. */
const SPEC_BUDGET = { maxBytes: 16 * 1024 * 1024, maxDepth: 64, maxNodes: 1_000_000 };

/** @throws INVALID_ARGUMENT or RESOURCE_EXHAUSTED as parseJson() does */
export function parseRuntimeJson(bytes: Uint8Array): unknown {
  return parseJson(bytes, SPEC_BUDGET);
}

/**
 * A runtime spec, or a part of one, in JSON that Go reads. "No limit" is the greatest u64 or i64, and as a double it is
 * one more, which Go refuses: it becomes the double below.
 */
export function runtimeJson(value: unknown): Uint8Array {
  return Buffer.from(
    JSON.stringify(value, (_key, part: unknown) => (isEdge(part) ? part * (1 - 2 ** -53) : part)),
  );
}

function isEdge(value: unknown): value is number {
  return typeof value === "number" && [2 ** 63, 2 ** 64].includes(Math.abs(value));
}
