import { createPrivateKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { parseJson } from "../bytes/index.js";
import { KEY_FILE_BYTES_MAX } from "./limits.js";

/** What a file is: a private key, something else, or a private key that can't be read. */
export type ParsedKey =
  | { readonly kind: "key"; readonly key: KeyObject }
  | { readonly kind: "other" }
  | { readonly kind: "unusable"; readonly why: string };

const privatePem = /-----BEGIN ([A-Z]+ )*PRIVATE KEY-----/;
const derTypes = ["pkcs8", "pkcs1", "sec1"] as const;

/** Reads a private key for RSA or elliptic curves: PEM (PKCS#1, PKCS#8, SEC 1; encrypted or not), the same in DER, JWK. */
export function parsePrivateKey(bytes: Buffer, password: Buffer | undefined): ParsedKey {
  const text = bytes.toString("latin1");
  if (privatePem.test(text))
    return checked(() => createPrivateKey({ key: bytes, format: "pem", ...withPassword(password) }));
  if (text.trimStart().startsWith("{")) return parseJwk(bytes);
  for (const type of derTypes) {
    const parsed = checked(() =>
      createPrivateKey({ key: bytes, format: "der", type, ...withPassword(password) }),
    );
    if (parsed.kind === "key") return parsed;
  }
  return { kind: "other" };
}

function parseJwk(bytes: Buffer): ParsedKey {
  let jwk: unknown;
  try {
    jwk = parseJson(bytes, { maxBytes: KEY_FILE_BYTES_MAX, maxDepth: 4, maxNodes: 256 });
  } catch {
    // Some other file in the folder.
    return { kind: "other" };
  }
  if (typeof jwk !== "object" || jwk === null || !Object.hasOwn(jwk, "d")) return { kind: "other" };
  return checked(() => createPrivateKey({ key: jwk as JsonWebKey, format: "jwk" }));
}

function withPassword(password: Buffer | undefined): { passphrase?: Buffer } {
  return password === undefined ? {} : { passphrase: password };
}

function checked(make: () => KeyObject): ParsedKey {
  let key: KeyObject;
  try {
    key = make();
  } catch (thrown) {
    const { code } = thrown as { code?: string };
    const isLocked = code === "ERR_MISSING_PASSPHRASE" || code === "ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED";
    return {
      kind: "unusable",
      why: isLocked ? "it needs a password" : "it can't be read, perhaps for a wrong password",
    };
  }
  const type = key.asymmetricKeyType;
  if (type === "rsa" || type === "ec") return { kind: "key", key };
  return { kind: "unusable", why: `want a key for RSA or elliptic curves, got ${type}` };
}
