/**
 * Digests, and names as bytes.
 *
 *     const digest = parseDigest("sha256:…");
 */
export * from "./byte-string.js";
export * from "./digest.js";
