const MIB = 1024 * 1024;

/** Bytes of the TOC's JSON; a larger one is refused with `toc-too-large`. */
export const TOC_JSON_BYTES_MAX = 256 * MIB;
/** Compressed bytes between the footer's offset and the footer; more is refused with `toc-too-large`. */
export const TOC_COMPRESSED_BYTES_MAX = 128 * MIB;
/** A TOC that inflates to more times its size is refused; real ones reach about 30. */
export const TOC_RATIO_MAX = 250;
/** What any TOC may inflate to, however small it is compressed. */
export const TOC_RATIO_FREE_BYTES = MIB;
/** Entries of a TOC, and nodes of its tree with the parents that it only implies. */
export const ENTRIES_MAX = 2_000_000;
/** Parents without an entry of their own; a few bytes of a name make one, so they are bounded apart. */
export const IMPLIED_DIRECTORIES_MAX = 200_000;
/** Decoded bytes of one unit, as native/core/limits.h. */
export const UNIT_BYTES_MAX = 64 * MIB;
/** Decoded bytes of one stream up to the end of its last unit, as native/core/limits.h. */
export const STREAM_BYTES_MAX = 256 * MIB;
/** Bytes of the data file: the largest file of ext4. */
export const DATA_BYTES_MAX = 16 * 1024 ** 4;

/** Linux PATH_MAX and NAME_MAX. */
export const PATH_BYTES_MAX = 4096;
export const COMPONENT_BYTES_MAX = 255;
export const DEPTH_MAX = 1024;
/** Linux XATTR_NAME_MAX, XATTR_SIZE_MAX. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 65_536;
/** Linux XATTR_LIST_MAX bounds all names of an inode together. */
export const XATTR_LIST_BYTES_MAX = 65_536;
