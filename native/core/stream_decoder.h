#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "unit_table.h"

namespace lazuli {

enum class DecodeStatus : uint8_t { ok, truncated, corrupt };

/**
 * Decodes one stream of a blob from its first byte on. Members of gzip and frames of zstd that follow each other are one
 * stream. What is decoded is not checked here beyond what the format must have: each unit has its own digest.
 */
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  StreamDecoder(const StreamDecoder&) = delete;
  StreamDecoder& operator=(const StreamDecoder&) = delete;

  /** Fills all of `out`, or says why not; then it says the same for ever. */
  DecodeStatus read(std::span<uint8_t> out);
  /** Drops decoded bytes. */
  DecodeStatus skip(uint64_t length);
  /** Decoded bytes that were read or skipped. */
  uint64_t position() const { return position_; }

  /** `bytes` must live as long as the decoder. Spans have a SpanDecoder instead. Throws std::bad_alloc. */
  static std::unique_ptr<StreamDecoder> make(Codec codec, std::span<const uint8_t> bytes);

 protected:
  StreamDecoder() = default;
  /** Fills all of `out`, or says why not; it is not called again then. */
  virtual DecodeStatus decode(std::span<uint8_t> out) = 0;

 private:
  uint64_t position_ = 0;
  DecodeStatus status_ = DecodeStatus::ok;
};

}  // namespace lazuli
