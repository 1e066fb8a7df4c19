const MIB = 1024 * 1024;

/** Bytes of one zTOC: the windows of 60 GiB at SOCI's span size, and two million entries. */
export const ZTOC_BYTES_MAX = 512 * MIB;
/** Entries of a zTOC, and nodes of its tree with the parents that it only implies. */
export const ENTRIES_MAX = 2_000_000;
/** Parents without an entry of their own; a few bytes of a name make one, so they are bounded apart. */
export const IMPLIED_DIRECTORIES_MAX = 200_000;
/** Spans of one layer. Each has a window of 32 KiB in the zTOC, so real ones have at most ZTOC_BYTES_MAX of those. */
export const SPANS_MAX = 1_000_000;
/** Bytes of one span, decoded, as native/core/limits.h has it for a unit. */
export const SPAN_BYTES_MAX = 64 * MIB;
/** What a span may have in the blob: twice what it decodes to, and this for headers of blocks and members. */
export const SPAN_SLACK_BYTES = MIB;
/** Bytes of the data file: the largest file of ext4. */
export const DATA_BYTES_MAX = 16 * 1024 ** 4;
/** Zeros behind the end of an archive, where the last checkpoint may lie: tars are padded to 10 KiB by default. */
export const ARCHIVE_PADDING_MAX = MIB;
/** A deflate block can't decode to more times its bytes: 258 bytes for two bits. */
export const DEFLATE_RATIO_MAX = 1032;

export const TAR_BLOCK = 512;
/** Deflate refers back at most this far. */
export const WINDOW_BYTES = 32_768;
/** The shortest gzip header (RFC 1952). */
export const GZIP_HEADER_BYTES_MIN = 10;

/** Linux PATH_MAX and NAME_MAX. */
export const PATH_BYTES_MAX = 4096;
export const COMPONENT_BYTES_MAX = 255;
export const DEPTH_MAX = 1024;
/** Linux XATTR_NAME_MAX, XATTR_SIZE_MAX. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 65_536;
/** Linux XATTR_LIST_MAX bounds all names of an inode together. */
export const XATTR_LIST_BYTES_MAX = 65_536;
/** PAX records of one entry; Go's tar reader takes about this much of them. */
export const PAX_RECORDS_MAX = 4096;

/** Bytes of a prefetch artifact. */
export const PREFETCH_BYTES_MAX = 16 * MIB;
/** Ranges in a prefetch artifact. */
export const PREFETCH_RANGES_MAX = 200_000;
