#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lazuli {

/** Numbers (little endian) and texts with a length before them, one after another, as JavaScript writes them. */
class RecordReader {
 public:
  /** `bytes` must live as long as the reader and the texts that it gives. */
  explicit RecordReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool isAtEnd() const { return bytes_.empty(); }
  uint8_t byte() { return take(1)[0]; }
  uint32_t word() { return number<uint32_t>(); }
  uint64_t number64() { return number<uint64_t>(); }
  std::string_view text() {
    const auto piece = take(word());
    return {reinterpret_cast<const char*>(piece.data()), piece.size()};
  }

 private:
  template <typename Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::span<const uint8_t> take(size_t length) {
    if (length > bytes_.size()) throw std::invalid_argument("A record is cut short");
    const auto piece = bytes_.first(length);
    bytes_ = bytes_.subspan(length);
    return piece;
  }

  std::span<const uint8_t> bytes_;
};

/** The other direction. */
class RecordWriter {
 public:
  void byte(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void word(uint32_t value) { number(value); }
  void number64(uint64_t value) { number(value); }
  void text(std::string_view value) {
    word(static_cast<uint32_t>(value.size()));
    bytes_.append(value);
  }
  std::string& bytes() { return bytes_; }

 private:
  template <typename Number>
  void number(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string bytes_;
};

}  // namespace lazuli
