#pragma once

#include <cstddef>
#include <cstdint>

namespace lazuli {

/** Bytes of one unit; a table that claims more is refused. A worker holds at most one unit in memory. */
inline constexpr uint64_t UNIT_BYTES_MAX = 64ULL << 20;
/** Decoded bytes of one compressed stream up to the end of its last unit; a table that claims more is refused. */
inline constexpr uint64_t STREAM_BYTES_MAX = 256ULL << 20;
/** Sizes and offsets cross to JavaScript as numbers. */
inline constexpr uint64_t DATA_BYTES_MAX = (1ULL << 53) - 1;
/** A verified unit has one CRC32C for each block of this size, counted from the unit's first byte. */
inline constexpr size_t CHECK_BLOCK = 4096;
/** The longest READ: 256 pages, the kernel's default fs.fuse.max_pages_limit. */
inline constexpr size_t READ_MAX = 1U << 20;
/** zstd's --long=27, what zstd itself decodes by default. A frame that asks for more is corrupt. */
inline constexpr int ZSTD_WINDOW_LOG_MAX = 27;
/** Compressed bytes of one ingest that a worker takes at once; streams are not split. */
inline constexpr uint64_t INGEST_JOB_BYTES = 1ULL << 20;
/** Decoded bytes that one verify job reads. */
inline constexpr uint64_t VERIFY_JOB_BYTES = 8ULL << 20;

}  // namespace lazuli
