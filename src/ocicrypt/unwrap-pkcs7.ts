import { constants, createDecipheriv, type KeyObject, privateDecrypt, randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { type EnvelopedData, GCM_TAG_BYTES, readEnvelopedData } from "./enveloped-data.js";
import type { KeyPacket } from "./unwrap-jwe.js";

/** @throws INVALID_ARGUMENT, UNIMPLEMENTED */
export function readPkcs7(packet: Buffer): KeyPacket {
  const data = readEnvelopedData(packet);
  return {
    recipientCount: data.encryptedKeys.length,
    unwrap: async (key) => {
      if (key.asymmetricKeyType !== "rsa") return undefined;
      for (const encrypted of data.encryptedKeys) {
        // RSA runs on this thread: others have their turn in between.
        await setImmediate();
        const content = openContent(data, contentKey(key, encrypted, data.cipher.keyBytes));
        if (content !== undefined) return content;
      }
      return undefined;
    },
  };
}

/**
 * Takes the padding of PKCS#1 v1.5 off (RFC 8017 §7.2.2), which Node refuses to do. Where it is not right the key is one
 * of chance, so that nobody learns from the outcome where it was wrong (Bleichenbacher's attack); decrypting by it fails
 * as it does by another recipient's key.
 */
function contentKey(key: KeyObject, encrypted: Buffer, keyBytes: number): Buffer {
  const chance = randomBytes(keyBytes);
  let padded: Buffer;
  try {
    padded = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, encrypted);
  } catch {
    // A recipient with a modulus of another size.
    return chance;
  }
  const start = padded.length - keyBytes;
  if (start < 11) return chance;
  let wrong = padded[0]! | (padded[1]! ^ 2) | padded[start - 1]!;
  for (let index = 2; index < start - 1; index += 1) wrong |= (padded[index]! - 1) >>> 8;
  const keep = ((wrong & 0x00ff_ffff) - 1) >> 31;
  for (let index = 0; index < keyBytes; index += 1) {
    chance[index] = (padded[start + index]! & keep) | (chance[index]! & ~keep);
  }
  return chance;
}

function openContent({ cipher, iv, content }: EnvelopedData, key: Buffer): Buffer | undefined {
  try {
    if (cipher.name === "aes-128-gcm" || cipher.name === "aes-192-gcm" || cipher.name === "aes-256-gcm") {
      const end = content.length - GCM_TAG_BYTES;
      const decipher = createDecipheriv(cipher.name, key, iv, { authTagLength: GCM_TAG_BYTES });
      decipher.setAuthTag(content.subarray(end));
      return Buffer.concat([decipher.update(content.subarray(0, end)), decipher.final()]);
    }
    const decipher = createDecipheriv(cipher.name, key, iv);
    return Buffer.concat([decipher.update(content), decipher.final()]);
  } catch {
    // Not the key of this content.
    return undefined;
  }
}
