import type { KeyObject } from "node:crypto";
import { parseJson } from "../bytes/index.js";
import { failedPrecondition, resourceExhausted } from "../errors/index.js";
import { type EncryptedLayer, nonceOf, type WrappedKey } from "./annotations.js";
import { decodeBase64 } from "./base64.js";
import { ANNOTATION_BYTES_MAX, UNWRAPS_MAX } from "./limits.js";
import { type KeyPacket, readJwe } from "./unwrap-jwe.js";
import { readPkcs7 } from "./unwrap-pkcs7.js";

/** What decrypts one layer. Secret. */
export interface LayerKey {
  /** For AES-256 and for the HMAC. */
  readonly symmetricKey: Buffer;
  readonly nonce: Buffer;
  /** What HMAC-SHA256 over the encrypted bytes must give. */
  readonly hmac: Buffer;
}

export interface UnwrapOptions {
  readonly encryption: EncryptedLayer;
  readonly keys: readonly KeyObject[];
  /** Why there are no more keys, for the hint. */
  readonly problems: readonly string[];
  /** The layer, for errors. */
  readonly subject: string;
  readonly signal?: AbortSignal | undefined;
}

const SYMMETRIC_KEY_BYTES = 32;
/** Problems that a hint names. */
const PROBLEMS_SHOWN = 3;

/**
 * Tries every private key on every wrapped key.
 *
 * @throws FAILED_PRECONDITION `decryption-key-missing` when none fits; INVALID_ARGUMENT
 * `encryption-annotations-invalid`; RESOURCE_EXHAUSTED `decryption-too-many-recipients`
 */
export async function unwrapLayerKey(options: UnwrapOptions): Promise<LayerKey> {
  const { encryption, keys, subject, signal } = options;
  let unwraps = 0;
  for (const packet of readPackets(encryption.wrappedKeys)) {
    for (const key of keys) {
      signal?.throwIfAborted();
      unwraps += packet.recipientCount;
      if (unwraps > UNWRAPS_MAX) throw tooMany(subject);
      const plain = await packet.unwrap(key);
      const layerKey = plain === undefined ? undefined : readPrivateOptions(plain, encryption);
      plain?.fill(0);
      if (layerKey !== undefined) return layerKey;
    }
  }
  throw noKey(options);
}

/** One that can't be read does no harm where another one fits. */
function readPackets(wrappedKeys: readonly WrappedKey[]): KeyPacket[] {
  const packets: KeyPacket[] = [];
  let problem: unknown;
  for (const { scheme, packet } of wrappedKeys) {
    try {
      packets.push(scheme === "jwe" ? readJwe(packet) : readPkcs7(packet));
    } catch (thrown) {
      problem = thrown;
    }
  }
  if (packets.length === 0) throw problem;
  return packets;
}

/** undefined: what a wrong key made of content that has no tag. */
function readPrivateOptions(plain: Buffer, { hmac, nonce }: EncryptedLayer): LayerKey | undefined {
  try {
    const options = parseJson(plain, { maxBytes: ANNOTATION_BYTES_MAX, maxDepth: 4, maxNodes: 64 });
    const { symkey, cipheroptions } = options as { symkey?: unknown; cipheroptions?: unknown };
    const symmetricKey = typeof symkey === "string" ? decodeBase64(symkey) : undefined;
    const foundNonce = nonce ?? nonceOf(cipheroptions);
    if (symmetricKey?.length !== SYMMETRIC_KEY_BYTES || foundNonce === undefined) return undefined;
    return { symmetricKey, nonce: foundNonce, hmac };
  } catch {
    // Its message could hold parts of a key.
    return undefined;
  }
}

function noKey({ keys, problems, subject }: UnwrapOptions): Error {
  const shown = problems.slice(0, PROBLEMS_SHOWN).join("; ");
  const more = problems.length > PROBLEMS_SHOWN ? `; ${problems.length - PROBLEMS_SHOWN} more` : "";
  return failedPrecondition(
    `Cannot decrypt layer ${subject}: want the private key of one of its recipients, got ${keys.length} others`,
    {
      subject,
      reason: "decryption-key-missing",
      hint: `Put the private key where [decryption] keys looks${shown === "" ? "" : ` (not usable there: ${shown}${more})`}`,
    },
  );
}

function tooMany(subject: string): Error {
  return resourceExhausted(
    `Cannot decrypt layer ${subject}: want at most ${UNWRAPS_MAX} tries of a key on a recipient, got more`,
    { subject, reason: "decryption-too-many-recipients" },
  );
}
