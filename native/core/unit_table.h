#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sha256.h"

namespace lazuli {

enum class Codec : uint8_t { raw = 0, gzip = 1, zstd = 2 };

/** One record of the table. Offsets and lengths in bytes. */
struct Unit {
  uint64_t dataOffset;
  uint64_t dataLength;
  uint64_t blobOffset;
  uint64_t blobLength;
  uint64_t innerOffset;
  Digest sha256;
  Codec codec;

  uint64_t dataEnd() const { return dataOffset + dataLength; }
  uint64_t blobEnd() const { return blobOffset + blobLength; }
};

/** Units [first, end). */
struct UnitRange {
  size_t first;
  size_t end;

  bool empty() const { return first >= end; }
};

/** The data map of a layer, as src/units/unit-table.ts lays it out. Checked whole when made; immutable. */
class UnitTable {
 public:
  /** Copies the bytes. Throws std::invalid_argument when they are not a whole, consistent table within the limits. */
  explicit UnitTable(std::span<const uint8_t> bytes);

  size_t count() const { return count_; }
  uint64_t dataSize() const { return dataSize_; }
  uint64_t blobSize() const { return blobSize_; }
  Unit unit(size_t index) const;
  uint64_t dataOffset(size_t index) const { return number(index, 0); }
  uint64_t dataLength(size_t index) const { return number(index, 8); }
  uint64_t blobOffset(size_t index) const { return number(index, 16); }
  uint64_t blobLength(size_t index) const { return number(index, 24); }

  /** The units that hold any byte of the range of the data file. */
  UnitRange overlapping(uint64_t offset, uint64_t length) const;
  /** One behind the last unit that shares the stream of `index`. */
  size_t streamEnd(size_t index) const;

 private:
  uint64_t number(size_t index, size_t field) const;
  void checkRecords() const;

  std::vector<uint8_t> bytes_;
  size_t count_ = 0;
  uint64_t dataSize_ = 0;
  uint64_t blobSize_ = 0;
};

}  // namespace lazuli
