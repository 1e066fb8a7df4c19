#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lazuli {

/** CRC-32C (Castagnoli) of one range. */
uint32_t crc32c(const uint8_t* data, size_t length);

/** One CRC-32C for each CHECK_BLOCK of the range; the last block may be short. `out` has a place for each. */
void crc32cBlocks(std::span<const uint8_t> data, uint32_t* out);

/** The table-driven way, which is used where the processor has no instruction for it. */
uint32_t crc32cPortable(const uint8_t* data, size_t length);

}  // namespace lazuli
