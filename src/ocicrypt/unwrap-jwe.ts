import type { KeyObject } from "node:crypto";
import { type FlattenedJWE, flattenedDecrypt, type GeneralJWE, generalDecrypt } from "jose";
import { parseJson } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import { ANNOTATION_BYTES_MAX, RECIPIENTS_MAX } from "./limits.js";

/** Key algorithms that ocicrypt writes and reads; what jose also knows, such as passwords, is refused. */
const options = {
  keyManagementAlgorithms: ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"],
  contentEncryptionAlgorithms: [
    "A128GCM",
    "A192GCM",
    "A256GCM",
    "A128CBC-HS256",
    "A192CBC-HS384",
    "A256CBC-HS512",
  ],
};

/** One wrapped key with its recipients, ready to be tried. */
export interface KeyPacket {
  readonly recipientCount: number;
  /** undefined: it is for none of the recipients, or the packet is damaged. Says not which. */
  unwrap(key: KeyObject): Promise<Buffer | undefined>;
}

/** A JWE in JSON (RFC 7516 §7.2), flattened or general. @throws INVALID_ARGUMENT */
export function readJwe(packet: Buffer): KeyPacket {
  const json = parseJson(packet, { maxBytes: ANNOTATION_BYTES_MAX, maxDepth: 8, maxNodes: 4096 });
  if (typeof json !== "object" || json === null) throw invalid("want an object");
  const { recipients } = json as { recipients?: unknown };
  if (recipients === undefined) {
    const flattened = json as FlattenedJWE;
    return {
      recipientCount: 1,
      unwrap: async (key) => await tried(() => flattenedDecrypt(flattened, key, options)),
    };
  }
  if (!Array.isArray(recipients) || recipients.length > RECIPIENTS_MAX) {
    throw invalid(`want at most ${RECIPIENTS_MAX} recipients`);
  }
  const general = json as GeneralJWE;
  return {
    recipientCount: recipients.length,
    unwrap: async (key) => await tried(() => generalDecrypt(general, key, options)),
  };
}

async function tried(
  decrypt: () => Promise<{ readonly plaintext: Uint8Array }>,
): Promise<Buffer | undefined> {
  try {
    const { plaintext } = await decrypt();
    return Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  } catch {
    // Not for this key.
    return undefined;
  }
}

function invalid(what: string): Error {
  return invalidArgument(`Cannot read a wrapped key: ${what} as JWE`, {
    reason: "encryption-annotations-invalid",
  });
}
