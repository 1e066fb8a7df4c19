#include "span_decoder.h"

#include <algorithm>
#include <climits>
#include <new>

namespace lazuli {
namespace {

constexpr int GZIP_ONLY = 16;
/** CRC-32 and length (RFC 1952, 2.3.1). */
constexpr size_t TRAILER_BYTES = 8;

}  // namespace

SpanDecoder::SpanDecoder(const Span& span) : bytes_(span.bytes) {
  if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  if (span.bits > 0 && bytes_.empty()) isCut_ = true;
  if (span.bits > 0 && !bytes_.empty()) {
    inflatePrime(&stream_, static_cast<int>(span.bits), bytes_.front() >> (8 - span.bits));
    bytes_ = bytes_.subspan(1);
  }
  inflateSetDictionary(&stream_, span.window.data(), static_cast<uInt>(span.window.size()));
}

void SpanDecoder::feed() {
  if (stream_.avail_in > 0 || bytes_.empty()) return;
  const size_t length = std::min<size_t>(bytes_.size(), UINT_MAX);
  stream_.next_in = const_cast<Bytef*>(bytes_.data());  // zlib reads it only
  stream_.avail_in = static_cast<uInt>(length);
  bytes_ = bytes_.subspan(length);
}

DecodeStatus SpanDecoder::nextMember() {
  for (size_t left = isFirstMember_ ? TRAILER_BYTES : 0; left > 0;) {
    feed();
    if (stream_.avail_in == 0) return DecodeStatus::truncated;
    const size_t part = std::min<size_t>(left, stream_.avail_in);
    stream_.next_in += part;
    stream_.avail_in -= static_cast<uInt>(part);
    left -= part;
  }
  if (stream_.avail_in == 0 && bytes_.empty()) return DecodeStatus::truncated;
  const int result = isFirstMember_ ? inflateReset2(&stream_, MAX_WBITS + GZIP_ONLY) : inflateReset(&stream_);
  isFirstMember_ = false;
  return result == Z_OK ? DecodeStatus::ok : DecodeStatus::corrupt;
}

DecodeStatus SpanDecoder::decode(std::span<uint8_t> out) {
  if (isCut_) return DecodeStatus::truncated;
  while (!out.empty()) {
    feed();
    const size_t room = std::min<size_t>(out.size(), UINT_MAX);
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    const size_t made = room - stream_.avail_out;
    out = out.subspan(made);
    if (result == Z_STREAM_END) {
      // A member costs at least 18 bytes of input, so that empty ones can't go on for ever.
      const DecodeStatus status = out.empty() ? DecodeStatus::ok : nextMember();
      if (status != DecodeStatus::ok) return status;
    } else if (result == Z_BUF_ERROR || (result == Z_OK && made == 0 && stream_.avail_in == 0)) {
      if (stream_.avail_in == 0 && bytes_.empty()) return DecodeStatus::truncated;
    } else if (result != Z_OK) {
      return DecodeStatus::corrupt;
    }
  }
  return DecodeStatus::ok;
}

}  // namespace lazuli
