import { createHash } from "node:crypto";
import { invalidArgument } from "../errors/index.js";

/** `algorithm:hex` of the OCI image specification, already checked. */
export type Digest = string & { readonly __digest: unique symbol };

const hexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** Longest text that is looked at: the longest valid digest has 135 characters. */
const DIGEST_LENGTH_MAX = 135;

/** Checks a digest that came from outside. @throws INVALID_ARGUMENT */
export function parseDigest(text: unknown): Digest {
  if (typeof text === "string" && text.length <= DIGEST_LENGTH_MAX) {
    const colon = text.indexOf(":");
    const length = hexLengths[text.slice(0, colon)];
    const hex = text.slice(colon + 1);
    if (length !== undefined && hex.length === length && /^[0-9a-f]+$/.test(hex)) return text as Digest;
  }
  const shown = typeof text === "string" ? `"${text.slice(0, 80)}"` : typeof text;
  throw invalidArgument(
    `Cannot read digest: want sha256, sha384 or sha512 and lower-case hex, got ${shown}`,
    {
      reason: "digest-invalid",
    },
  );
}

export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

/** The raw bytes of a digest. */
export function digestBytes(digest: Digest): Buffer {
  return Buffer.from(digest.slice(digest.indexOf(":") + 1), "hex");
}

export function digestAlgorithm(digest: Digest): string {
  return digest.slice(0, digest.indexOf(":"));
}

/** A digest as one name of a file or folder: `sha256-<hex>`. */
export function digestFileName(digest: Digest): string {
  return digest.replace(":", "-");
}
