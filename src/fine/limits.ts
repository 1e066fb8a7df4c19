const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes of one table: the digests of a million leaves, and twice as much for spans and tree. */
export const FINE_TABLE_BYTES_MAX = 96 * MIB;
/** Spans of one layer: 64 GiB of them. */
export const SPANS_MAX = 65_536;
/** Leaves of one layer, as native/core/stream_indexer.h has it. */
export const LEAVES_MAX = 1_000_000;
/** A leaf is a power of two between these: what is verified at once, and answered. */
export const LEAF_BYTES_MIN = 4 * KIB;
export const LEAF_BYTES_MAX = 1 * MIB;
/** Decoded bytes of one span: it is held in memory, and decoded from its start for any of its leaves. */
export const SPAN_BYTES_MAX = 64 * MIB;
/** What a span may have in the blob: twice what it decodes to, and this for headers of blocks and members. */
export const SPAN_SLACK_BYTES = 1 * MIB;
/** A deflate block can't decode to more times its bytes: 258 bytes for two bits. */
export const DEFLATE_RATIO_MAX = 1032;
/** The shortest gzip header (RFC 1952). */
export const GZIP_HEADER_BYTES_MIN = 10;
/** Bytes of the archive, as native/core/limits.h bounds them to what JavaScript counts. */
export const DATA_BYTES_MAX = 16 * 1024 ** 4;
/** Headers of the archive, decoded: native/core/tar_headers.h keeps no more, but for the last one. */
export const HEADERS_BYTES_MAX = 80 * MIB;
/** A frame of zstd with 32 KiB has at most so many bytes. */
export const PACKED_WINDOW_BYTES_MAX = 33 * KIB;

/** What a span has at least where we cut them. At 1 MiB a random read costs a quarter of what it costs at SOCI's 4 MiB. */
export const FINE_SPAN_BYTES = 1 * MIB;
/** Spans of zstd can't be cut inside a frame: a layer with longer ones gets no index of ours. */
export const FINE_FRAME_BYTES_MAX = 16 * MIB;
/** See docs/formats.md for what smaller and larger ones cost. */
export const FINE_LEAF_BYTES = 64 * KIB;
