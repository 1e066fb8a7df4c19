#include "core/unit_table.h"

#include <functional>
#include <stdexcept>

#include "check.h"
#include "core/limits.h"
#include "sample_table.h"

using namespace lazuli;
using namespace lazuli::testing;

namespace {

std::vector<Unit> sampleUnits() {
  return {
      {0, 100, 0, 50, 0, {}, Codec::gzip},
      {512, 100, 50, 60, 10, {}, Codec::zstd},
      {1024, 100, 50, 60, 110, {}, Codec::zstd},
      {2048, 40, 110, 50, 10, {}, Codec::raw},
  };
}

UnitTable make(std::vector<Unit> units, uint64_t dataSize = 4096, uint64_t blobSize = 160) {
  return UnitTable(encodeTable(units, dataSize, blobSize));
}

void finds() {
  const UnitTable table = make(sampleUnits());
  CHECK(table.count() == 4);
  const auto overlapping = [&](uint64_t offset, uint64_t length, size_t first, size_t end) {
    const UnitRange range = table.overlapping(offset, length);
    return range.first == first && range.end == end;
  };
  CHECK(overlapping(0, 1, 0, 1));
  CHECK(overlapping(99, 414, 0, 2));
  CHECK(overlapping(100, 412, 1, 1));
  CHECK(overlapping(0, 4096, 0, 4));
  CHECK(overlapping(2088, 100, 4, 4));
  CHECK(table.streamEnd(0) == 1);
  CHECK(table.streamEnd(1) == 3);
  CHECK(table.streamEnd(3) == 4);
  const UnitTable empty = make({}, 100, 0);
  CHECK(empty.overlapping(0, 100).empty());
}

/** Each change of a good table makes it one that is refused. */
void refuses() {
  const std::vector<std::function<void(std::vector<Unit>&)>> changes = {
      [](auto& units) { units[0].dataLength = 0; },
      [](auto& units) { units[3].dataLength = UNIT_BYTES_MAX + 1; },
      [](auto& units) { units[3].dataLength = UINT64_MAX; },
      [](auto& units) { units[3].dataOffset = UINT64_MAX - 10; },
      [](auto& units) { units[3].dataOffset = 4090; },
      [](auto& units) { units[0].dataLength = 513; },
      [](auto& units) { units[3].blobOffset = 111; },
      [](auto& units) { units[3].blobLength = UINT64_MAX; },
      [](auto& units) { units[3].blobOffset = 0; },
      [](auto& units) { units[2].blobLength = 61; },
      [](auto& units) { units[2].codec = Codec::gzip; },
      [](auto& units) { units[2].innerOffset = 109; },
      [](auto& units) { units[0].innerOffset = STREAM_BYTES_MAX - 99; },
      [](auto& units) { units[0].innerOffset = UINT64_MAX; },
      [](auto& units) { units[3].innerOffset = 11; },
      [](auto& units) { units[0].codec = static_cast<Codec>(4); },
      [](auto& units) { units[0].codec = Codec::deflateSpan; },
      [](auto& units) { units[0].digestOf = static_cast<DigestOf>(2); },
      [](auto& units) { units[1].digestOf = DigestOf::blob; },
      [](auto& units) { units[2].digestOf = DigestOf::blob; },
      [](auto& units) { std::swap(units[0], units[1]); },
  };
  for (const auto& change : changes) {
    std::vector<Unit> units = sampleUnits();
    change(units);
    CHECK_THROWS(std::invalid_argument, make(units));
  }
  CHECK_THROWS(std::invalid_argument, make({}, DATA_BYTES_MAX + 1, 0));
  const Bytes good = encodeTable(sampleUnits(), 4096, 160);
  for (size_t length = 0; length < good.size(); length++) {
    CHECK_THROWS(std::invalid_argument, UnitTable({good.data(), length}));
  }
  for (size_t at = 0; at < good.size(); at++) {
    Bytes flipped = good;
    flipped[at] ^= 0x40;
    CHECK_THROWS(std::invalid_argument, UnitTable(flipped));
  }
  for (const uint64_t count : {uint64_t{3}, uint64_t{5}, uint64_t{1} << 60, UINT64_MAX, (uint64_t{1} << 60) + 4}) {
    Bytes wrong = good;
    put<uint64_t>(wrong, 16, count);
    seal(wrong);
    CHECK_THROWS(std::invalid_argument, UnitTable(wrong));
  }
}

std::vector<Unit> sampleSpans() {
  return {
      {0, 100, 10, 50, 0, {}, Codec::deflateSpan, DigestOf::blob},
      {100, 100, 59, 40, 7, {}, Codec::deflateSpan, DigestOf::blob},
      {200, 100, 98, 62, 1, {}, Codec::deflateSpan, DigestOf::data, 5},
  };
}

void knowsSpans() {
  const UnitTable table = make(sampleSpans());
  CHECK(table.windowCount() == 3);
  CHECK(table.needsSums());
  CHECK(table.unit(0).digestOf == DigestOf::blob);
  CHECK(table.unit(2).digestOf == DigestOf::data && table.unit(2).windowCrc == 5);
  std::vector<Unit> deep = sampleSpans();
  deep[1].innerOffset = 8;
  CHECK_THROWS(std::invalid_argument, make(deep));
  std::vector<Unit> shared = sampleSpans();
  shared[1].blobOffset = 10;
  shared[1].blobLength = 50;
  CHECK_THROWS(std::invalid_argument, make(shared));
}

std::vector<Unit> sampleLeaves() {
  return {
      {0, 100, 10, 50, 0, {}, Codec::deflateLeaf, DigestOf::data, 5, 0},
      {100, 100, 10, 50, 100, {}, Codec::deflateLeaf, DigestOf::data, 5, 0},
      {200, 100, 59, 40, 0, {}, Codec::deflateLeaf, DigestOf::data, 6, 7},
      {300, 10, 59, 40, 100, {}, Codec::deflateLeaf, DigestOf::data, 6, 7},
  };
}

void knowsLeaves() {
  const UnitTable table = make(sampleLeaves());
  CHECK(table.windowCount() == 4 && !table.needsSums());
  CHECK(table.unit(3).bits == 7 && table.unit(3).windowCrc == 6);
  CHECK(table.streamStart(1) == 0 && table.streamStart(3) == 2 && table.streamEnd(0) == 2);
  const std::function<void(std::vector<Unit>&)> changes[] = {
      [](auto& units) { units[2].bits = 8; },
      [](auto& units) { units[3].bits = 6; },
      [](auto& units) { units[3].windowCrc = 5; },
      [](auto& units) { units[1].innerOffset = 99; },
      [](auto& units) { units[2].codec = units[3].codec = Codec::deflateSpan; },
      [](auto& units) { units[2].codec = units[3].codec = Codec::gzip; },
  };
  for (const auto& change : changes) {
    std::vector<Unit> units = sampleLeaves();
    change(units);
    CHECK_THROWS(std::invalid_argument, make(units));
  }
}

/** Bytes that are stored as they are have one digest, whatever it is said to be of. */
void knowsRawDigests() {
  const UnitTable whole = make({{0, 100, 10, 100, 0, {}, Codec::raw, DigestOf::blob}});
  CHECK(!whole.needsSums() && whole.unit(0).digestOf == DigestOf::data);
  const UnitTable part = make({{0, 99, 10, 100, 1, {}, Codec::raw, DigestOf::blob}});
  CHECK(part.needsSums() && part.windowCount() == 0);
}

void readsVersionOne() {
  const UnitTable table(encodeTable(sampleUnits(), 4096, 160, 1));
  CHECK(table.count() == 4 && !table.needsSums());
  CHECK_THROWS(std::invalid_argument, UnitTable(encodeTable(sampleSpans(), 4096, 160, 1)));
  CHECK_THROWS(std::invalid_argument,
               UnitTable(encodeTable(std::vector<Unit>{{0, 9, 0, 9, 0, {}, Codec::raw, DigestOf::blob}}, 9, 9, 1)));
  CHECK_THROWS(std::invalid_argument, UnitTable(encodeTable(sampleUnits(), 4096, 160, 3)));
  CHECK_THROWS(std::invalid_argument, UnitTable(encodeTable(sampleUnits(), 4096, 160, 0)));
}

}  // namespace

int main() {
  finds();
  knowsSpans();
  knowsLeaves();
  knowsRawDigests();
  readsVersionOne();
  refuses();
}
