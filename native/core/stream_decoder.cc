#include "stream_decoder.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <new>
#include <stdexcept>

#include "limits.h"

namespace lazuli {
namespace {

constexpr size_t SKIP_BUFFER = 64U << 10;
constexpr int GZIP_ONLY = 16;

class RawDecoder final : public StreamDecoder {
 public:
  explicit RawDecoder(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  DecodeStatus decode(std::span<uint8_t> out) override {
    if (out.size() > bytes_.size()) return DecodeStatus::truncated;
    std::memcpy(out.data(), bytes_.data(), out.size());
    bytes_ = bytes_.subspan(out.size());
    return DecodeStatus::ok;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class GzipDecoder final : public StreamDecoder {
 public:
  explicit GzipDecoder(std::span<const uint8_t> bytes) : bytes_(bytes) {
    if (inflateInit2(&stream_, MAX_WBITS + GZIP_ONLY) != Z_OK) throw std::bad_alloc();
  }
  ~GzipDecoder() override { inflateEnd(&stream_); }

  DecodeStatus decode(std::span<uint8_t> out) override {
    while (!out.empty()) {
      feed();
      const size_t room = std::min<size_t>(out.size(), UINT_MAX);
      stream_.next_out = out.data();
      stream_.avail_out = static_cast<uInt>(room);
      const int result = inflate(&stream_, Z_NO_FLUSH);
      const size_t made = room - stream_.avail_out;
      out = out.subspan(made);
      if (result == Z_STREAM_END) {
        // Each further member costs at least 18 bytes of input, so that empty ones can't go on for ever.
        if (!out.empty() && stream_.avail_in == 0 && bytes_.empty()) return DecodeStatus::truncated;
        if (inflateReset(&stream_) != Z_OK) return DecodeStatus::corrupt;
      } else if (result == Z_BUF_ERROR || (result == Z_OK && made == 0 && stream_.avail_in == 0)) {
        if (bytes_.empty()) return DecodeStatus::truncated;
      } else if (result != Z_OK) {
        return DecodeStatus::corrupt;
      }
    }
    return DecodeStatus::ok;
  }

 private:
  void feed() {
    if (stream_.avail_in > 0 || bytes_.empty()) return;
    const size_t length = std::min<size_t>(bytes_.size(), UINT_MAX);
    stream_.next_in = const_cast<Bytef*>(bytes_.data());  // zlib reads it only
    stream_.avail_in = static_cast<uInt>(length);
    bytes_ = bytes_.subspan(length);
  }

  std::span<const uint8_t> bytes_;
  z_stream stream_{};
};

class ZstdDecoder final : public StreamDecoder {
 public:
  explicit ZstdDecoder(std::span<const uint8_t> bytes) : input_{bytes.data(), bytes.size(), 0}, context_(ZSTD_createDCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
  }

  DecodeStatus decode(std::span<uint8_t> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos < output.size) {
      const size_t outBefore = output.pos;
      const size_t inBefore = input_.pos;
      const size_t result = ZSTD_decompressStream(context_.get(), &output, &input_);
      if (ZSTD_isError(result) != 0) return DecodeStatus::corrupt;
      if (output.pos == outBefore && input_.pos == inBefore) return DecodeStatus::truncated;
    }
    return DecodeStatus::ok;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  ZSTD_inBuffer input_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

}  // namespace

DecodeStatus StreamDecoder::read(std::span<uint8_t> out) {
  if (status_ == DecodeStatus::ok) status_ = decode(out);
  if (status_ == DecodeStatus::ok) position_ += out.size();
  return status_;
}

DecodeStatus StreamDecoder::skip(uint64_t length) {
  uint8_t dropped[SKIP_BUFFER];
  while (length > 0) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(length, sizeof dropped));
    const DecodeStatus status = read(std::span(dropped, part));
    if (status != DecodeStatus::ok) return status;
    length -= part;
  }
  return DecodeStatus::ok;
}

std::unique_ptr<StreamDecoder> StreamDecoder::make(Codec codec, std::span<const uint8_t> bytes) {
  switch (codec) {
    case Codec::gzip: return std::make_unique<GzipDecoder>(bytes);
    case Codec::zstd: return std::make_unique<ZstdDecoder>(bytes);
    case Codec::deflateSpan:
    case Codec::deflateLeaf: throw std::logic_error("A span of deflate needs its window");
    case Codec::raw: break;
  }
  return std::make_unique<RawDecoder>(bytes);
}

}  // namespace lazuli
