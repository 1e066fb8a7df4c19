#include "core/crc32c.h"

#include <cstring>

#include "check.h"
#include "core/limits.h"
#include "sample_table.h"

using namespace lazuli;
using testing::noise;

int main() {
  // RFC 3720 B.4, and the check value of the algorithm.
  CHECK(crc32c(reinterpret_cast<const uint8_t*>("123456789"), 9) == 0xe3069283);
  const uint8_t zeros[32] = {};
  CHECK(crc32c(zeros, sizeof zeros) == 0x8a9136aa);
  CHECK(crc32cPortable(zeros, sizeof zeros) == 0x8a9136aa);
  const auto bytes = noise(5 * CHECK_BLOCK + 77, 1);
  for (size_t length = 0; length < 100; length++) {
    CHECK(crc32c(bytes.data() + 3, length) == crc32cPortable(bytes.data() + 3, length));
  }
  uint32_t blocks[6];
  crc32cBlocks(bytes, blocks);
  for (size_t block = 0; block < 6; block++) {
    CHECK(blocks[block] == crc32cPortable(&bytes[block * CHECK_BLOCK], block < 5 ? CHECK_BLOCK : 77));
  }
}
