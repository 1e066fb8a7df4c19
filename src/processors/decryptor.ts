import {
  decryptLayer,
  type LayerKey,
  parseEncryption,
  readDecryptionKeys,
  unwrapLayerKey,
} from "../ocicrypt/index.js";
import type { ProcessorInput, StreamProcessor } from "./contract.js";

const SUFFIX = "+encrypted";

/**
 * Decrypts layers of `…+encrypted` media types by the private keys at these places (`KeySpec`), which are read at each
 * layer. No byte of a layer is asked for before its key is unwrapped.
 */
export function decryptor(options: { readonly keys: readonly string[] }): StreamProcessor {
  return {
    name: "decryption",
    returns: (mediaType) => (mediaType.endsWith(SUFFIX) ? mediaType.slice(0, -SUFFIX.length) : undefined),
    run: async function* (input) {
      const { bytes, digest: subject } = input;
      const key = await layerKey(options.keys, input);
      try {
        yield* decryptLayer({ key, bytes, subject });
      } finally {
        key.symmetricKey.fill(0);
      }
    },
  };
}

async function layerKey(places: readonly string[], input: ProcessorInput): Promise<LayerKey> {
  const { annotations, digest: subject, signal } = input;
  const encryption = parseEncryption(annotations);
  const { keys, problems } = await readDecryptionKeys(places, { signal });
  return await unwrapLayerKey({ encryption, keys, problems, subject, signal });
}
