#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lazuli {

/**
 * One gzip member (RFC 1952) without name and time, of an unknown system. At most STREAM_BYTES_MAX go in. The same bytes
 * and level make the same member with the same zlib. Throws std::bad_alloc.
 */
std::vector<uint8_t> encodeMember(std::span<const uint8_t> content, int level);

}  // namespace lazuli
