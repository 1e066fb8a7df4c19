// A table with the right checksum: what is taken can be asked anything.
#include "core/unit_table.h"

#include <stdexcept>

#include "input.h"

using namespace lazuli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  const Digest digest = sha256(bytes);
  bytes.insert(bytes.end(), digest.begin(), digest.end());
  try {
    const UnitTable table(bytes);
    uint64_t end = 0;
    for (size_t index = 0; index < table.count(); index++) {
      const Unit unit = table.unit(index);
      REQUIRE(unit.dataOffset >= end && unit.dataEnd() <= table.dataSize() && unit.blobEnd() <= table.blobSize());
      REQUIRE(table.streamStart(index) <= index && index < table.streamEnd(index));
      const UnitRange found = table.overlapping(unit.dataOffset, unit.dataLength);
      REQUIRE(found.first == index && found.end == index + 1);
      end = unit.dataEnd();
    }
    for (const uint64_t offset : {uint64_t{0}, table.dataSize(), UINT64_MAX}) table.overlapping(offset, UINT64_MAX);
  } catch (const std::invalid_argument&) {
    // It is refused.
  }
  return 0;
}
