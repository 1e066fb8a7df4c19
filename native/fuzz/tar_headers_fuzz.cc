// Headers that are kept while a tar goes by.
#include "core/tar_headers.h"

#include <algorithm>

#include "input.h"

using namespace lazuli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzzing::Input input(data, size);
  const size_t pieceBytes = size_t{1} + input.choice() * size_t{3};
  TarHeaders headers;
  input.pieces(pieceBytes, [&](const std::vector<uint8_t>& piece) { headers.add(piece); });
  const std::vector<uint8_t> kept = headers.takeKept();
  // Records in order, inside what went by.
  uint64_t end = 0;
  for (size_t at = 0; at < kept.size();) {
    REQUIRE(kept.size() - at >= 16);
    uint64_t offset = 0;
    uint64_t length = 0;
    std::memcpy(&offset, &kept[at], 8);
    std::memcpy(&length, &kept[at + 8], 8);
    REQUIRE(offset >= end && length <= kept.size() - at - 16 && offset + length <= input.rest().size());
    REQUIRE(std::equal(input.rest().begin() + static_cast<long>(offset),
                       input.rest().begin() + static_cast<long>(offset + length), kept.begin() + static_cast<long>(at + 16)));
    end = offset + length;
    at += 16 + length;
  }
  return 0;
}
