#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "file_descriptor.h"

namespace lazuli {

/** What a deflate stream may refer back to. */
inline constexpr size_t WINDOW_BYTES = 32U << 10;

/**
 * The windows of a layer's spans, WINDOW_BYTES each, in the order of the units: in memory, or in a file that is read when
 * a span is decoded. What a file holds is checked by the reader, against the CRC in the unit table. Immutable.
 */
class SpanWindows {
 public:
  /** None. */
  SpanWindows() = default;
  /** Copies. Throws std::invalid_argument when the bytes are not those of `count` windows. */
  SpanWindows(std::span<const uint8_t> bytes, size_t count);
  /** Throws std::invalid_argument when the file has no `count` windows behind `offset`, std::system_error. */
  SpanWindows(FileDescriptor file, uint64_t offset, size_t count);

  size_t count() const { return count_; }
  /** Fills `window`, which has WINDOW_BYTES. Returns 0 or -errno. */
  int read(size_t index, std::span<uint8_t> window) const;

 private:
  std::vector<uint8_t> bytes_;
  FileDescriptor file_;
  uint64_t offset_ = 0;
  size_t count_ = 0;
};

}  // namespace lazuli
