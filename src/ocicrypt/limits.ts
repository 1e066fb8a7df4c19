/** Named bounds of this room, with what happens when each is reached. */

/** Annotations of encryption together, keys and values; more is refused. A recipient takes 1 to 2 KiB. */
export const ANNOTATION_BYTES_MAX = 32 * 1024;
/** Wrapped keys of one layer, and recipients of one wrapped key; more are refused. */
export const PACKETS_MAX = 64;
export const RECIPIENTS_MAX = 64;
/** Tries of a private key on a recipient, for one layer: an RSA key of 4096 bits takes some 5 ms each. More are refused. */
export const UNWRAPS_MAX = 512;
/** Bytes of a key's file or of a password's; a larger file is no key. */
export const KEY_FILE_BYTES_MAX = 64 * 1024;
/** Files that are looked at for keys; others are left out, and said so. */
export const KEY_FILES_MAX = 256;
/** Folders below a folder of keys that are gone into. */
export const KEY_FOLDER_DEPTH_MAX = 4;
/** Bytes that are decrypted in one go: some 0.3 ms, in which nothing else runs. */
export const DECRYPT_STEP_BYTES = 256 * 1024;
/** Values of DER in one packet; more are refused. */
export const DER_VALUES_MAX = 4096;
