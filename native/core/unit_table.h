#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sha256.h"

namespace lazuli {

/**
 * deflateSpan: raw deflate from a block's first bit on, with the 32 KiB of output before it as dictionary. deflateLeaf: a
 * part of such a span.
 */
enum class Codec : uint8_t { raw = 0, gzip = 1, zstd = 2, deflateSpan = 3, deflateLeaf = 4 };

/** Whether the units are inflated with a window. */
constexpr bool needsWindow(Codec codec) { return codec == Codec::deflateSpan || codec == Codec::deflateLeaf; }

/** What a unit's digest is of: its decoded bytes, or its range of the blob. */
enum class DigestOf : uint8_t { data = 0, blob = 1 };

/** One record of the table. Offsets and lengths in bytes. */
struct Unit {
  uint64_t dataOffset;
  uint64_t dataLength;
  uint64_t blobOffset;
  uint64_t blobLength;
  /** Decoded bytes before the unit; of a deflateSpan: the high bits of its first byte that belong to it, 0: all. */
  uint64_t innerOffset;
  Digest sha256;
  Codec codec;
  DigestOf digestOf = DigestOf::data;
  /** CRC-32 of the window of its span. */
  uint32_t windowCrc = 0;
  /** Of a deflateLeaf: the high bits of its span's first byte that belong to the span, 0: all. */
  uint8_t bits = 0;

  uint64_t dataEnd() const { return dataOffset + dataLength; }
  uint64_t blobEnd() const { return blobOffset + blobLength; }
};

/** Units [first, end). */
struct UnitRange {
  size_t first;
  size_t end;

  bool empty() const { return first >= end; }
};

/** The data map of a layer, as src/units/unit-table.ts lays it out. Checked whole when made; immutable. Reads version 1 too. */
class UnitTable {
 public:
  /** Copies the bytes. Throws std::invalid_argument when they are not a whole, consistent table within the limits. */
  explicit UnitTable(std::span<const uint8_t> bytes);

  size_t count() const { return count_; }
  /**
   * 0 or count(): a table with spans of deflate holds nothing else. Of those that share a span, only the first one's
   * window counts.
   */
  size_t windowCount() const { return windowCount_; }
  /** Some unit's digest says nothing of its decoded bytes. */
  bool needsSums() const { return needsSums_; }
  uint64_t dataSize() const { return dataSize_; }
  uint64_t blobSize() const { return blobSize_; }
  Unit unit(size_t index) const;
  uint64_t dataOffset(size_t index) const { return number(index, 0); }
  uint64_t dataLength(size_t index) const { return number(index, 8); }
  uint64_t blobOffset(size_t index) const { return number(index, 16); }
  uint64_t blobLength(size_t index) const { return number(index, 24); }

  /** The units that hold any byte of the range of the data file. */
  UnitRange overlapping(uint64_t offset, uint64_t length) const;
  /** The first unit that shares the stream of `index`. */
  size_t streamStart(size_t index) const;
  /** One behind the last unit that shares the stream of `index`. */
  size_t streamEnd(size_t index) const;

 private:
  uint64_t number(size_t index, size_t field) const;
  void checkRecords();
  void checkUnit(size_t index, const Unit& unit) const;
  void checkNeighbours(size_t index, const Unit& before, const Unit& unit) const;

  std::vector<uint8_t> bytes_;
  uint32_t version_ = 0;
  size_t count_ = 0;
  size_t windowCount_ = 0;
  bool needsSums_ = false;
  uint64_t dataSize_ = 0;
  uint64_t blobSize_ = 0;
};

}  // namespace lazuli
