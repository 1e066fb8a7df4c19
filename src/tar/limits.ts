const MIB = 1024 * 1024;

/** Of a header and of the unit in which contents are padded. */
export const BLOCK_BYTES = 512;
/** Contents of one PAX header or GNU long name, as Go's reader has it; more is refused with `tar-header-too-large`. */
export const SPECIAL_BYTES_MAX = MIB;
/** PAX, GNU long and old sparse blocks before one entry; more are refused with `tar-header-too-large`. */
export const SPECIAL_HEADERS_MAX = 64;
/** Entries of an archive; more are refused with `tar-too-many-entries`. */
export const ENTRIES_MAX = 2_000_000;
/** Names in a tree, with the parents that an archive only implies; more are refused with `tar-too-many-entries`. */
export const NODES_MAX = 2_000_000;
/** Parents without an entry of their own; a few bytes of a name make one, so they are bounded apart. */
export const IMPLIED_DIRECTORIES_MAX = 200_000;
/** Data regions of one sparse file, and of all of an archive that are kept; more are refused with `tar-sparse-too-long`. */
export const SPARSE_PARTS_MAX = 1024 * 1024;
/** Bytes of a file, and of the data file of a layer: the largest file of ext4. */
export const DATA_BYTES_MAX = 16 * 1024 ** 4;
/** Names, targets and attributes that a tree keeps; more are refused with `tar-too-much-metadata`. */
export const METADATA_BYTES_MAX = 256 * MIB;

/** Linux PATH_MAX and NAME_MAX. */
export const PATH_BYTES_MAX = 4096;
export const COMPONENT_BYTES_MAX = 255;
export const DEPTH_MAX = 1024;
/** A symbolic link is a path without its NUL. */
export const TARGET_BYTES_MAX = PATH_BYTES_MAX - 1;
/** Symbolic links that are followed in one path, as containerd does; more are refused with `tar-link-loop`. */
export const LINKS_FOLLOWED_MAX = 255;
/** Linux XATTR_NAME_MAX, XATTR_SIZE_MAX. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 65_536;
