#include "tar_headers.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace lazuli {
namespace {

constexpr uint64_t BLOCK_BYTES = 512;
constexpr uint64_t EXTENSION_BYTES_MAX = 1U << 20;
/** No file is larger; sums of it and an offset can't overflow. */
constexpr uint64_t FILE_BYTES_MAX = uint64_t{1} << 53;
constexpr size_t SIZE_AT = 124;
constexpr size_t SIZE_LENGTH = 12;
constexpr size_t TYPE_AT = 156;

uint64_t padded(uint64_t length) {
  return (length + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

std::optional<uint64_t> octal(std::span<const uint8_t> field) {
  const auto isBlank = [](uint8_t byte) { return byte == 0 || byte == ' '; };
  while (!field.empty() && isBlank(field.front())) field = field.subspan(1);
  uint64_t value = 0;
  for (const uint8_t byte : field) {
    if (isBlank(byte)) break;
    if (byte < '0' || byte > '7') return std::nullopt;
    value = value * 8 + (byte - '0');
  }
  return value;
}

/** GNU's and star's way to write what octal digits have no room for. */
std::optional<uint64_t> base256(std::span<const uint8_t> field) {
  uint64_t value = field[0] & 0x7f;
  for (const uint8_t byte : field.subspan(1)) {
    if (value > FILE_BYTES_MAX) return std::nullopt;
    value = value << 8 | byte;
  }
  return value;
}

std::optional<uint64_t> sizeOf(std::span<const uint8_t> block) {
  const std::span<const uint8_t> field = block.subspan(SIZE_AT, SIZE_LENGTH);
  const std::optional<uint64_t> size = (field[0] & 0x80) != 0 ? base256(field) : octal(field);
  return size && *size <= FILE_BYTES_MAX ? size : std::nullopt;
}

/** "<length> <key>=<value>\n", the value of the last "size". */
std::optional<uint64_t> paxSizeOf(std::string_view records) {
  std::optional<uint64_t> size;
  while (!records.empty()) {
    size_t length = 0;
    const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<size_t>(end - records.data());
    if (error != std::errc() || length <= digits + 1 || length > records.size()) break;
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    uint64_t value = 0;
    if (record.starts_with("size=") &&
        std::from_chars(record.data() + 5, record.data() + record.size(), value).ec == std::errc()) {
      size = value;
    }
    records.remove_prefix(length);
  }
  return size;
}

}  // namespace

void TarHeaders::add(std::span<const uint8_t> bytes) {
  const uint64_t end = position_ + bytes.size();
  while (!isDone_ && wantedOffset_ < end) {
    const uint64_t from = wantedOffset_ + begun_.size();
    const uint64_t to = wantedOffset_ + wantedLength_;
    const std::span<const uint8_t> there = bytes.subspan(from - position_, std::min(to, end) - from);
    if (to > end) {
      begun_.insert(begun_.end(), there.begin(), there.end());
      break;
    }
    if (begun_.empty()) {
      take(there);
      continue;
    }
    std::vector<uint8_t> whole = std::move(begun_);
    begun_.clear();
    whole.insert(whole.end(), there.begin(), there.end());
    take(whole);
  }
  position_ = end;
}

void TarHeaders::expect(uint64_t offset, uint64_t length) {
  wantedOffset_ = offset;
  wantedLength_ = length;
}

void TarHeaders::take(std::span<const uint8_t> bytes) {
  if (kept_.size() + bytes.size() + 16 > KEPT_BYTES_MAX) {
    isDone_ = true;
    return;
  }
  for (const uint64_t number : {wantedOffset_, uint64_t{bytes.size()}}) {
    for (int shift = 0; shift < 64; shift += 8) kept_.push_back(static_cast<uint8_t>(number >> shift));
  }
  kept_.insert(kept_.end(), bytes.begin(), bytes.end());
  if (extension_ != 0) takeExtension(bytes);
  else takeHeader(bytes);
}

void TarHeaders::takeHeader(std::span<const uint8_t> block) {
  const uint64_t next = wantedOffset_ + BLOCK_BYTES;
  if (std::all_of(block.begin(), block.end(), [](uint8_t byte) { return byte == 0; })) {
    isDone_ = hasZeroBlock_;
    hasZeroBlock_ = true;
    expect(next, BLOCK_BYTES);
    return;
  }
  const std::optional<uint64_t> own = sizeOf(block);
  const uint8_t type = block[TYPE_AT];
  const bool isExtension = type == 'x' || type == 'g' || type == 'L' || type == 'K';
  const uint64_t size = hasPaxSize_ && !isExtension ? paxSize_ : own.value_or(0);
  // What stands where in a sparse file, only its map tells.
  if (!own || hasZeroBlock_ || type == 'S' || type == 'M' || size > FILE_BYTES_MAX) {
    isDone_ = true;
    return;
  }
  if (isExtension) {
    if (size > EXTENSION_BYTES_MAX) isDone_ = true;
    extension_ = type;
    if (size > 0) expect(next, size);
    else takeExtension({});
    return;
  }
  hasPaxSize_ = false;
  const bool isHeaderOnly = type >= '1' && type <= '6';
  expect(next + (isHeaderOnly ? 0 : padded(size)), BLOCK_BYTES);
}

void TarHeaders::takeExtension(std::span<const uint8_t> bytes) {
  if (extension_ == 'x') {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const std::optional<uint64_t> size = paxSizeOf(text);
    hasPaxSize_ = size.has_value();
    paxSize_ = size.value_or(0);
  }
  const uint64_t start = bytes.empty() ? wantedOffset_ + BLOCK_BYTES : wantedOffset_;
  extension_ = 0;
  expect(start + padded(bytes.size()), BLOCK_BYTES);
}

}  // namespace lazuli
