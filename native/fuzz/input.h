#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

/** What libFuzzer calls; standalone.cc does where there is none. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/** A finding. */
#define REQUIRE(condition)        \
  do {                            \
    if (!(condition)) std::abort(); \
  } while (false)

namespace lazuli::fuzzing {

/** The first bytes choose, the others are read. */
class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}

  uint8_t choice() {
    if (bytes_.empty()) return 0;
    const uint8_t first = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return first;
  }
  std::span<const uint8_t> rest() const { return bytes_; }
  /** The rest in pieces of so many bytes, each in memory of its own: what reads past it is seen. */
  template <typename Take>
  void pieces(size_t length, Take take) const {
    for (size_t at = 0; at < bytes_.size(); at += length) {
      const auto piece = bytes_.subspan(at, std::min(length, bytes_.size() - at));
      take(std::vector<uint8_t>(piece.begin(), piece.end()));
    }
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace lazuli::fuzzing
