import { invalidArgument } from "../errors/index.js";
import type { Labels } from "./rows.js";
import { namespaces } from "./tables.js";
import type { Transaction } from "./transaction.js";

/** Bytes of an identifier (containerd's pkg/identifiers). */
const IDENTIFIER_BYTES_MAX = 76;
const IDENTIFIER = "^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$";
const identifier = new RegExp(IDENTIFIER);
/** Bytes of a label's key and value together (containerd's pkg/labels). */
const LABEL_BYTES_MAX = 4096;
const KEY_BYTES_SHOWN = 10;
const DIGEST_FORMAT = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const hexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** The messages here are containerd's: clients see them. `what` stands before them. @throws INVALID_ARGUMENT */
export function requireIdentifier(text: string, what = ""): void {
  const reason = "identifier-invalid";
  if (text === "") throw invalidArgument(`${what}identifier must not be empty`, { reason });
  if (Buffer.byteLength(text) > IDENTIFIER_BYTES_MAX) {
    const limit = `greater than maximum length (${IDENTIFIER_BYTES_MAX} characters)`;
    throw invalidArgument(`${what}identifier ${JSON.stringify(text)} ${limit}`, { reason });
  }
  if (!identifier.test(text)) {
    throw invalidArgument(`${what}identifier ${JSON.stringify(text)} must match ${IDENTIFIER}`, { reason });
  }
}

/** @throws INVALID_ARGUMENT */
export function requireLabels(labels: Labels, what: string): void {
  for (const [key, value] of Object.entries(labels)) {
    if (Buffer.byteLength(key) + Buffer.byteLength(value) <= LABEL_BYTES_MAX) continue;
    const shown = Buffer.from(key).subarray(0, KEY_BYTES_SHOWN).toString();
    throw invalidArgument(
      `${what}: label key and value greater than maximum size (${LABEL_BYTES_MAX} bytes), key: ${shown}`,
      { reason: "label-too-large" },
    );
  }
}

/** Why a text is no digest, in the words of Go's digest library; undefined for a right one. */
export function digestFault(text: string): string | undefined {
  const colon = text.indexOf(":");
  const algorithm = text.slice(0, colon);
  const hex = text.slice(colon + 1);
  if (colon <= 0 || hex === "") return "invalid checksum digest format";
  const length = Object.hasOwn(hexLengths, algorithm) ? hexLengths[algorithm] : undefined;
  if (length === undefined) {
    return DIGEST_FORMAT.test(text) ? "unsupported digest algorithm" : "invalid checksum digest format";
  }
  if (Buffer.byteLength(hex) !== length) return "invalid checksum digest length";
  return /^[a-f0-9]+$/.test(hex) ? undefined : "invalid checksum digest format";
}

/** A namespace comes into being with the first thing in it. @throws INVALID_ARGUMENT */
export function ensureNamespace(transaction: Transaction, name: string): void {
  if (transaction.get(namespaces, name) !== undefined) return;
  requireIdentifier(name);
  transaction.put(namespaces, name, { name, labels: {} });
}
