/**
 * One error class with a closed set of codes, and the makers for each code.
 *
 *     throw notFound(`Snapshot "${key}" does not exist`, { subject: key });
 */
export { assert } from "./assert.js";
export { type CodeFacts, type ErrorCode, errorCodes } from "./codes.js";
export { type ErrorOptions, LazuliError } from "./lazuli-error.js";
export * from "./makers.js";
export { nearestWord } from "./nearest-word.js";
export { redact } from "./redact.js";
