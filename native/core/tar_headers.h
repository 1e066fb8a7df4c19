#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lazuli {

/**
 * Keeps of a tar that goes by what a reader of its headers asks for: header blocks, extension headers with their
 * contents, and the two blocks of zeros. It only guesses what the reader will want, and refuses nothing: where it can't
 * follow a tar it stops keeping, and the reader finds out that bytes are missing.
 */
class TarHeaders {
 public:
  /** Of all that is kept; it stops there. */
  static constexpr size_t KEPT_BYTES_MAX = 64U << 20;

  /** The next bytes of the tar. */
  void add(std::span<const uint8_t> bytes);
  /** Records in the order of their offsets: offset and length as 64 bits, little endian, then so many bytes. */
  std::vector<uint8_t> takeKept() { return std::move(kept_); }

 private:
  void expect(uint64_t offset, uint64_t length);
  void take(std::span<const uint8_t> bytes);
  void takeHeader(std::span<const uint8_t> block);
  void takeExtension(std::span<const uint8_t> bytes);

  std::vector<uint8_t> kept_;
  /** Of what has gone by. */
  uint64_t position_ = 0;
  /** The range that is wanted next. */
  uint64_t wantedOffset_ = 0;
  uint64_t wantedLength_ = 512;
  /** Its bytes up to now, where they came in more than one piece. */
  std::vector<uint8_t> begun_;
  bool isDone_ = false;
  bool hasZeroBlock_ = false;
  /** Type of the extension header whose contents are wanted, or 0. */
  uint8_t extension_ = 0;
  /** What the last PAX header says of the next file's size. */
  uint64_t paxSize_ = 0;
  bool hasPaxSize_ = false;
};

}  // namespace lazuli
