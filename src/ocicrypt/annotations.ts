import { parseJson } from "../bytes/index.js";
import { invalidArgument, resourceExhausted, unimplemented } from "../errors/index.js";
import { decodeBase64 } from "./base64.js";
import { ANNOTATION_BYTES_MAX, PACKETS_MAX } from "./limits.js";

export const ENCRYPTION_ANNOTATION_PREFIX = "org.opencontainers.image.enc.";
const KEYS_PREFIX = `${ENCRYPTION_ANNOTATION_PREFIX}keys.`;
const PUBLIC_OPTIONS = `${ENCRYPTION_ANNOTATION_PREFIX}pubopts`;
const CIPHER = "AES_256_CTR_HMAC_SHA256";

const HMAC_BYTES = 32;
const NONCE_BYTES = 16;

/** The layer's key, wrapped for one or more recipients. */
export interface WrappedKey {
  readonly scheme: "jwe" | "pkcs7";
  readonly packet: Buffer;
}

/** What a layer's descriptor tells about its encryption. */
export interface EncryptedLayer {
  readonly wrappedKeys: readonly WrappedKey[];
  /** HMAC-SHA256 over the encrypted bytes. */
  readonly hmac: Buffer;
  /** undefined: it is wrapped together with the key. */
  readonly nonce: Buffer | undefined;
}

/** Those of a layer's annotations that encryption needs. @throws RESOURCE_EXHAUSTED `encryption-annotations-too-large` */
export function encryptionAnnotations(
  annotations: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const found = Object.entries(annotations).filter(([key]) => key.startsWith(ENCRYPTION_ANNOTATION_PREFIX));
  const bytes = found.reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (bytes > ANNOTATION_BYTES_MAX) {
    throw resourceExhausted(
      `Cannot decrypt a layer: want at most ${ANNOTATION_BYTES_MAX} bytes of annotations, got ${bytes}`,
      { reason: "encryption-annotations-too-large" },
    );
  }
  return Object.fromEntries(found);
}

/**
 * Reads the annotations `org.opencontainers.image.enc.*` of a layer.
 *
 * @throws INVALID_ARGUMENT `encryption-annotations-invalid`; UNIMPLEMENTED `encryption-scheme-unknown` for another
 * cipher, or keys that are only wrapped by OpenPGP, PKCS#11 or a key provider; RESOURCE_EXHAUSTED
 */
export function parseEncryption(annotations: Readonly<Record<string, string>>): EncryptedLayer {
  const found = encryptionAnnotations(annotations);
  const wrappedKeys = (["jwe", "pkcs7"] as const).flatMap((scheme) =>
    packetsOf(found[KEYS_PREFIX + scheme] ?? "").map((packet): WrappedKey => ({ scheme, packet })),
  );
  if (wrappedKeys.length > PACKETS_MAX) throw invalid(`want at most ${PACKETS_MAX} wrapped keys`);
  if (wrappedKeys.length === 0) throw noKnownScheme(Object.keys(found));
  return { wrappedKeys, ...publicOptions(found[PUBLIC_OPTIONS]) };
}

function packetsOf(text: string): Buffer[] {
  return text === "" ? [] : text.split(",", PACKETS_MAX + 1).map((one) => bytesOf(one, "a wrapped key"));
}

function publicOptions(text: string | undefined): Pick<EncryptedLayer, "hmac" | "nonce"> {
  if (text === undefined) throw invalid(`want ${PUBLIC_OPTIONS}`);
  const json = bytesOf(text, PUBLIC_OPTIONS);
  const options = parseJson(json, { maxBytes: ANNOTATION_BYTES_MAX, maxDepth: 4, maxNodes: 64 });
  const { cipher, hmac, cipheroptions } = fieldsOf(options);
  if (cipher !== CIPHER) {
    throw unimplemented(
      `Cannot decrypt a layer: want the cipher ${CIPHER}, got ${JSON.stringify(cipher)?.slice(0, 64)}`,
      { reason: "encryption-scheme-unknown" },
    );
  }
  const hmacBytes = bytesOf(hmac, "its HMAC");
  if (hmacBytes.length !== HMAC_BYTES) throw invalid(`want an HMAC of ${HMAC_BYTES} bytes`);
  return { hmac: hmacBytes, nonce: nonceOf(cipheroptions) };
}

/** The nonce among cipher options, public or private ones. */
export function nonceOf(cipherOptions: unknown): Buffer | undefined {
  const { nonce } = fieldsOf(cipherOptions ?? {});
  if (nonce === undefined || nonce === null) return undefined;
  const bytes = bytesOf(nonce, "its nonce");
  if (bytes.length !== NONCE_BYTES) throw invalid(`want a nonce of ${NONCE_BYTES} bytes`);
  return bytes;
}

function noKnownScheme(keys: readonly string[]): Error {
  const others = keys
    .filter((key) => key.startsWith(KEYS_PREFIX))
    .map((key) => key.slice(KEYS_PREFIX.length));
  if (others.length === 0) return invalid("want a wrapped key, got none");
  return unimplemented(
    `Cannot decrypt a layer: want a key wrapped by jwe or pkcs7, got ${others.join(", ").slice(0, 128)}`,
    {
      reason: "encryption-scheme-unknown",
      hint: "Encrypt the image for a jwe or pkcs7 recipient too, or decrypt by a program named in [stream_processors]",
    },
  );
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("want an object");
  return value as Readonly<Record<string, unknown>>;
}

function bytesOf(value: unknown, name: string): Buffer {
  const bytes = typeof value === "string" ? decodeBase64(value) : undefined;
  if (bytes === undefined) throw invalid(`want ${name} in base64`);
  return bytes;
}

function invalid(what: string): Error {
  return invalidArgument(`Cannot decrypt a layer: ${what} in its annotations`, {
    reason: "encryption-annotations-invalid",
  });
}
