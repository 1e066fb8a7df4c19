const MIB = 1024 * 1024;

/** Bytes of the JSON lines of a tar-split, compressed or not; more is refused with `tar-split-too-large`. */
export const TAR_SPLIT_BYTES_MAX = 256 * MIB;
/** Bytes of one line: a header with PAX records of a megabyte in base64 fits. */
export const TAR_SPLIT_LINE_BYTES_MAX = 8 * MIB;
/** A frame that decodes to more times its size is refused; real ones reach about 60. */
export const FRAME_RATIO_MAX = 1000;
/** What any frame may decode to, however small it is compressed. */
export const FRAME_RATIO_FREE_BYTES = MIB;
