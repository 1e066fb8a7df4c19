/**
 * Digests, names as bytes, and JSON within a budget.
 *
 *     const digest = parseDigest("sha256:…");
 */
export { type JsonArrayReader, parseJson, readJsonArray } from "./bounded-json.js";
export * from "./byte-string.js";
export * from "./digest.js";
export { otherCaseKey } from "./go-key.js";
export type { JsonBudget } from "./json-scan.js";
