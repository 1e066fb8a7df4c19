#include "unit_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "limits.h"

namespace lazuli {
namespace {

static_assert(std::endian::native == std::endian::little, "the table is read in place");

constexpr size_t HEADER = 64;
constexpr size_t RECORD = 80;
constexpr size_t TRAILER = 32;
constexpr uint32_t FIRST_VERSION = 1;
constexpr uint32_t VERSION = 2;
constexpr char MAGIC[] = "lzliunit";

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument("Cannot use unit table: " + what);
}

[[noreturn]] void refuseUnit(size_t index, const char* what) {
  refuse("unit " + std::to_string(index) + " " + what);
}

/** True when [offset, offset + length) lies in [0, limit). */
bool fits(uint64_t offset, uint64_t length, uint64_t limit) {
  uint64_t end;
  return !__builtin_add_overflow(offset, length, &end) && end <= limit;
}

}  // namespace

UnitTable::UnitTable(std::span<const uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {
  if (bytes_.size() < HEADER + TRAILER) refuse("it is too short");
  if (std::memcmp(bytes_.data(), MAGIC, 8) != 0) refuse("the magic is wrong");
  version_ = load<uint32_t>(&bytes_[8]);
  if (version_ < FIRST_VERSION || version_ > VERSION) refuse("the version is unknown");
  if (load<uint32_t>(&bytes_[12]) != RECORD) refuse("the record size is unknown");
  const std::span body(bytes_.data(), bytes_.size() - TRAILER);
  const Digest digest = lazuli::sha256(body);
  if (std::memcmp(digest.data(), body.data() + body.size(), TRAILER) != 0) refuse("the checksum is wrong");
  const auto count = load<uint64_t>(&bytes_[16]);
  if ((body.size() - HEADER) % RECORD != 0 || count != (body.size() - HEADER) / RECORD) refuse("the count is wrong");
  if (count > UINT32_MAX) refuse("it has too many units");
  count_ = count;
  dataSize_ = load<uint64_t>(&bytes_[24]);
  blobSize_ = load<uint64_t>(&bytes_[32]);
  if (dataSize_ > DATA_BYTES_MAX || blobSize_ > DATA_BYTES_MAX) refuse("a size is out of range");
  checkRecords();
}

void UnitTable::checkRecords() {
  Unit before{};
  for (size_t index = 0; index < count_; index++) {
    const uint8_t* record = &bytes_[HEADER + index * RECORD];
    const Codec codecMax = version_ == FIRST_VERSION ? Codec::zstd : Codec::deflateLeaf;
    if (record[72] > static_cast<uint8_t>(codecMax)) refuseUnit(index, "has an unknown codec");
    if (record[73] > (version_ == FIRST_VERSION ? 0 : 1)) refuseUnit(index, "has an unknown kind of digest");
    const Unit unit = this->unit(index);
    checkUnit(index, unit);
    if (index > 0) checkNeighbours(index, before, unit);
    if (needsWindow(unit.codec)) windowCount_++;
    if (unit.digestOf == DigestOf::blob) needsSums_ = true;
    before = unit;
  }
  if (windowCount_ != 0 && windowCount_ != count_) refuse("spans of deflate stand among units of other codecs");
}

void UnitTable::checkUnit(size_t index, const Unit& unit) const {
  if (unit.dataLength == 0 || unit.dataLength > UNIT_BYTES_MAX) refuseUnit(index, "has a length out of range");
  if (!fits(unit.dataOffset, unit.dataLength, dataSize_)) refuseUnit(index, "lies outside the data file");
  if (!fits(unit.blobOffset, unit.blobLength, blobSize_)) refuseUnit(index, "lies outside the blob");
  if (!fits(unit.innerOffset, unit.dataLength, STREAM_BYTES_MAX)) refuseUnit(index, "lies too deep in its stream");
  if (unit.codec == Codec::deflateSpan && unit.innerOffset > 7) refuseUnit(index, "begins with more bits than a byte has");
  if (unit.bits > (unit.codec == Codec::deflateLeaf ? 7 : 0)) refuseUnit(index, "has bits out of range");
  if (unit.codec == Codec::raw && !fits(unit.innerOffset, unit.dataLength, unit.blobLength)) {
    refuseUnit(index, "is longer than its bytes in the blob");
  }
}

void UnitTable::checkNeighbours(size_t index, const Unit& before, const Unit& unit) const {
  if (unit.dataOffset < before.dataEnd()) refuseUnit(index, "overlaps the unit before it");
  if (unit.blobOffset < before.blobOffset) refuseUnit(index, "is not in the order of the blob");
  if (unit.blobOffset > before.blobOffset) return;
  if (unit.blobLength != before.blobLength || unit.codec != before.codec) refuseUnit(index, "disagrees about its stream");
  if (unit.bits != before.bits || unit.windowCrc != before.windowCrc) refuseUnit(index, "disagrees about its window");
  if (unit.codec == Codec::deflateSpan) refuseUnit(index, "begins where another span does");
  // Else each of them would have the whole stream hashed.
  if (unit.digestOf == DigestOf::blob || before.digestOf == DigestOf::blob) refuseUnit(index, "has the digest of a shared stream");
  if (unit.innerOffset < before.innerOffset + before.dataLength) refuseUnit(index, "is not in the order of its stream");
}

uint64_t UnitTable::number(size_t index, size_t field) const {
  return load<uint64_t>(&bytes_[HEADER + index * RECORD + field]);
}

Unit UnitTable::unit(size_t index) const {
  const uint8_t* record = &bytes_[HEADER + index * RECORD];
  Unit unit{};
  unit.dataOffset = load<uint64_t>(record);
  unit.dataLength = load<uint64_t>(record + 8);
  unit.blobOffset = load<uint64_t>(record + 16);
  unit.blobLength = load<uint64_t>(record + 24);
  unit.innerOffset = load<uint64_t>(record + 32);
  std::copy_n(record + 40, unit.sha256.size(), unit.sha256.begin());
  unit.codec = static_cast<Codec>(record[72]);
  unit.digestOf = static_cast<DigestOf>(record[73]);
  unit.bits = record[74];
  unit.windowCrc = load<uint32_t>(record + 76);
  // Bytes that are stored as they are have one digest.
  if (unit.codec == Codec::raw && unit.dataLength == unit.blobLength) unit.digestOf = DigestOf::data;
  return unit;
}

UnitRange UnitTable::overlapping(uint64_t offset, uint64_t length) const {
  // The first unit that ends behind `offset`, then the first that begins at or behind the end of the range.
  size_t low = 0;
  size_t high = count_;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (dataOffset(middle) + dataLength(middle) <= offset) low = middle + 1;
    else high = middle;
  }
  const size_t first = low;
  const uint64_t end = offset + length;
  high = count_;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (dataOffset(middle) < end) low = middle + 1;
    else high = middle;
  }
  return {first, low};
}

size_t UnitTable::streamStart(size_t index) const {
  // Searched, because a table may have a million leaves in one span.
  const uint64_t start = blobOffset(index);
  size_t low = 0;
  while (low < index) {
    const size_t middle = low + (index - low) / 2;
    if (blobOffset(middle) < start) low = middle + 1;
    else index = middle;
  }
  return low;
}

size_t UnitTable::streamEnd(size_t index) const {
  const uint64_t start = blobOffset(index);
  size_t end = index + 1;
  while (end < count_ && blobOffset(end) == start) end++;
  return end;
}

}  // namespace lazuli
