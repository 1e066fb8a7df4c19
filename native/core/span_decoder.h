#pragma once

#include <zlib.h>

#include <cstdint>
#include <span>

#include "stream_decoder.h"

namespace lazuli {

/**
 * Inflates from the first bit of a deflate block on. Where the gzip member ends, its trailer is passed over, because what
 * it is about began before the span; members that follow are whole, and their checksums are checked.
 */
class SpanDecoder final : public StreamDecoder {
 public:
  struct Span {
    /** Must live as long as the decoder. */
    std::span<const uint8_t> bytes;
    /** How many of the high bits of the first byte belong to the span; 0: the whole byte does. */
    unsigned bits;
    /** The output before the span, WINDOW_BYTES. */
    std::span<const uint8_t> window;
  };

  /** Throws std::bad_alloc. */
  explicit SpanDecoder(const Span& span);
  ~SpanDecoder() override { inflateEnd(&stream_); }

 protected:
  DecodeStatus decode(std::span<uint8_t> out) override;

 private:
  void feed();
  DecodeStatus nextMember();

  std::span<const uint8_t> bytes_;
  z_stream stream_{};
  bool isFirstMember_ = true;
  bool isCut_ = false;
};

}  // namespace lazuli
