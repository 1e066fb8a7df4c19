#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lazuli {

enum class FrameStatus : uint8_t { ok, truncated, corrupt, tooLarge };

struct DecodedFrame {
  FrameStatus status;
  /** Empty unless the status is ok. */
  std::vector<uint8_t> bytes;
};

/**
 * Decodes bytes that are exactly one zstd frame: no skippable one, no dictionary, nothing before or behind it. Memory
 * follows what really comes out of the frame, not what its header claims. Throws std::bad_alloc.
 */
DecodedFrame decodeFrame(std::span<const uint8_t> frame, uint64_t maxSize);

/**
 * One zstd frame with its content's size and checksum. The same bytes and level always make the same frame with the same
 * zstd. Throws std::bad_alloc.
 */
std::vector<uint8_t> encodeFrame(std::span<const uint8_t> content, int level);

}  // namespace lazuli
