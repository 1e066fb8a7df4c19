#pragma once

#include <cstdint>
#include <span>

namespace lazuli {

/** Reads until the buffer is full or the file ends. Returns the bytes read, or -errno. */
int64_t readAt(int fd, uint64_t offset, std::span<uint8_t> buffer);

/** Writes all bytes. Returns 0 or -errno. */
int writeAt(int fd, uint64_t offset, std::span<const uint8_t> bytes);

}  // namespace lazuli
