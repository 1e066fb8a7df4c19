/**
 * Encrypted layers as ocicrypt has them (docs of containers/ocicrypt): the key of a layer is wrapped for its recipients
 * by JWE or PKCS#7 in annotations of the layer's descriptor, the layer is AES-256-CTR with an HMAC over all of it.
 *
 *     const encryption = parseEncryption(annotations);
 *     const { keys, problems } = await readDecryptionKeys(specs, { signal });
 *     const key = await unwrapLayerKey({ encryption, keys, problems, subject, signal });
 *     for await (const bytes of decryptLayer({ key, bytes, subject })) … // of no use before it has ended
 */
export {
  ENCRYPTION_ANNOTATION_PREFIX,
  type EncryptedLayer,
  encryptionAnnotations,
  parseEncryption,
  type WrappedKey,
} from "./annotations.js";
export { type DecryptLayerOptions, decryptLayer } from "./decrypt-layer.js";
export { hidePassword, type KeySpec, parseKeySpec } from "./key-spec.js";
export { type DecryptionKeys, readDecryptionKeys } from "./read-keys.js";
export { type LayerKey, type UnwrapOptions, unwrapLayerKey } from "./unwrap-key.js";
