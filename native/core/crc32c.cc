#include "crc32c.h"

#include <array>
#include <cstring>

#include "limits.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lazuli {
namespace {

constexpr uint32_t POLYNOMIAL = 0x82f63b78;  // reflected

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables makeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1U) != 0 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t slice = 1; slice < 8; slice++) {
    for (size_t byte = 0; byte < 256; byte++) {
      const uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables TABLES = makeTables();

#if defined(__x86_64__)

bool hasInstruction() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}

uint64_t load64(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t crcInstruction(const uint8_t* data, size_t length) {
  uint64_t crc = 0xffffffff;
  for (; length >= 8; data += 8, length -= 8) crc = _mm_crc32_u64(crc, load64(data));
  auto narrow = static_cast<uint32_t>(crc);
  for (; length > 0; data++, length--) narrow = _mm_crc32_u8(narrow, *data);
  return ~narrow;
}

/** The instruction takes three cycles but one can start each cycle: three blocks at a time keep it busy. */
__attribute__((target("sse4.2"))) void crcThreeBlocks(const uint8_t* data, uint32_t* out) {
  uint64_t first = 0xffffffff;
  uint64_t second = 0xffffffff;
  uint64_t third = 0xffffffff;
  for (size_t at = 0; at < CHECK_BLOCK; at += 8) {
    first = _mm_crc32_u64(first, load64(data + at));
    second = _mm_crc32_u64(second, load64(data + CHECK_BLOCK + at));
    third = _mm_crc32_u64(third, load64(data + 2 * CHECK_BLOCK + at));
  }
  out[0] = ~static_cast<uint32_t>(first);
  out[1] = ~static_cast<uint32_t>(second);
  out[2] = ~static_cast<uint32_t>(third);
}

#endif

}  // namespace

uint32_t crc32cPortable(const uint8_t* data, size_t length) {
  uint32_t crc = 0xffffffff;
  for (; length >= 8; data += 8, length -= 8) {
    crc = TABLES[7][(crc ^ data[0]) & 0xff] ^ TABLES[6][((crc >> 8) ^ data[1]) & 0xff] ^
          TABLES[5][((crc >> 16) ^ data[2]) & 0xff] ^ TABLES[4][((crc >> 24) ^ data[3]) & 0xff] ^
          TABLES[3][data[4]] ^ TABLES[2][data[5]] ^ TABLES[1][data[6]] ^ TABLES[0][data[7]];
  }
  for (; length > 0; data++, length--) crc = (crc >> 8) ^ TABLES[0][(crc ^ *data) & 0xff];
  return ~crc;
}

uint32_t crc32c(const uint8_t* data, size_t length) {
#if defined(__x86_64__)
  if (hasInstruction()) return crcInstruction(data, length);
#endif
  return crc32cPortable(data, length);
}

void crc32cBlocks(std::span<const uint8_t> data, uint32_t* out) {
#if defined(__x86_64__)
  if (hasInstruction()) {
    for (; data.size() >= 3 * CHECK_BLOCK; data = data.subspan(3 * CHECK_BLOCK), out += 3) {
      crcThreeBlocks(data.data(), out);
    }
  }
#endif
  while (!data.empty()) {
    const size_t length = data.size() < CHECK_BLOCK ? data.size() : CHECK_BLOCK;
    *out++ = crc32c(data.data(), length);
    data = data.subspan(length);
  }
}

}  // namespace lazuli
