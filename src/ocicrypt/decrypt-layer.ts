import { createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import { dataLoss } from "../errors/index.js";
import { DECRYPT_STEP_BYTES } from "./limits.js";
import type { LayerKey } from "./unwrap-key.js";

export interface DecryptLayerOptions {
  readonly key: LayerKey;
  /** The encrypted layer, from its beginning. */
  readonly bytes: AsyncIterable<Buffer>;
  /** The layer, for errors. */
  readonly subject: string;
}

/**
 * Decrypts a whole layer. The HMAC can only be compared at the end: what it yields must be thrown away unless it ends
 * without an error.
 *
 * @throws DATA_LOSS `decryption-hmac-mismatch`; as `bytes`
 */
export async function* decryptLayer({ key, bytes, subject }: DecryptLayerOptions): AsyncGenerator<Buffer> {
  const hmac = createHmac("sha256", key.symmetricKey);
  const decipher = createDecipheriv("aes-256-ctr", key.symmetricKey, key.nonce);
  for await (const piece of bytes) {
    for (let start = 0; start < piece.length; start += DECRYPT_STEP_BYTES) {
      const step = piece.subarray(start, start + DECRYPT_STEP_BYTES);
      hmac.update(step);
      yield decipher.update(step);
    }
  }
  if (timingSafeEqual(hmac.digest(), key.hmac)) return;
  throw dataLoss(
    `Cannot decrypt layer ${subject}: its bytes do not have the HMAC that its annotations name`,
    {
      subject,
      reason: "decryption-hmac-mismatch",
      hint: "The image was changed after it was encrypted: it has to be encrypted and pushed again",
    },
  );
}
