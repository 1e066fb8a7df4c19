const MIB = 1024 * 1024;

/** One read of a blob, and one piece of an archive that is compressed or written. */
export const PIECE_BYTES = MIB;
/** Of an uncompressed layer: the largest file of ext4; more is refused with `stream-too-large`. */
export const ARCHIVE_BYTES_MAX = 16 * 1024 ** 4;
/** Spans are not looked at here: as few as can be, with at most a million in the largest layer. */
export const SPAN_BYTES = 32 * MIB;
/** Entries of a layer as records; more are refused with `tar-too-much-metadata`. */
export const RECORD_BYTES_MAX = 512 * MIB;
/** What one zstd frame of a new layer holds. */
export const FRAME_BYTES = 8 * MIB;
export const ZSTD_LEVEL = 3;
/** Symbolic links in a layer are paths of Linux without their NUL. */
export const TARGET_BYTES_MAX = 4095;
