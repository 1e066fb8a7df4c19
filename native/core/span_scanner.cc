#include "span_scanner.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "limits.h"
#include "stream_error.h"

namespace lazuli {
namespace {

constexpr int GZIP_ONLY = 16;
constexpr uint8_t GZIP_MAGIC[] = {0x1f, 0x8b};
/** Little-endian 0xfd2fb528, and 0x184d2a5? of skippable frames. */
constexpr uint8_t ZSTD_MAGIC[] = {0x28, 0xb5, 0x2f, 0xfd};
constexpr uint8_t SKIPPABLE_MAGIC[] = {0x50, 0x2a, 0x4d, 0x18};
/** The longest header of a frame (RFC 8878, 3.1.1.1). */
constexpr size_t ZSTD_HEADER_MAX = 18;

class RawScanner final : public SpanScanner {
 public:
  RawScanner(uint64_t spanBytes, SpanOutput& output) : SpanScanner(spanBytes, output) { streamCount_ = 1; }

  void finish() override {}

 protected:
  void decode(std::span<const uint8_t> bytes) override {
    for (size_t done = 0; done < bytes.size();) {
      if (!output_.hasSpans() || leftInSpan() == 0) beginAtCheckpoint(done, 0);
      const std::span<uint8_t> room = output_.room(leftInSpan());
      const size_t length = std::min(room.size(), bytes.size() - done);
      std::memcpy(room.data(), bytes.data() + done, length);
      output_.filled(length);
      done += length;
    }
  }
};

/** inflate's own stops between blocks tell where a span may begin, as in zlib's example zran. */
class GzipScanner final : public SpanScanner {
 public:
  GzipScanner(uint64_t spanBytes, SpanOutput& output) : SpanScanner(spanBytes, output) {
    if (inflateInit2(&stream_, MAX_WBITS + GZIP_ONLY) != Z_OK) throw std::bad_alloc();
  }
  ~GzipScanner() override { inflateEnd(&stream_); }

  void finish() override {
    if (streamCount_ > 0 && stream_.total_in == 0) return;
    throw StreamError(StreamFault::truncated, "the gzip stream ends inside a member");
  }

 protected:
  void decode(std::span<const uint8_t> bytes) override {
    stream_.next_in = const_cast<Bytef*>(bytes.data());  // zlib reads it only
    stream_.avail_in = static_cast<uInt>(bytes.size());
    while (true) {
      if (streamCount_ > 0 && stream_.total_in < sizeof GZIP_MAGIC) {
        if (stream_.avail_in == 0) return;
        checkMagic();
      }
      const std::span<uint8_t> room = output_.room();
      stream_.next_out = room.data();
      stream_.avail_out = static_cast<uInt>(room.size());
      const int result = inflate(&stream_, Z_BLOCK);
      output_.filled(room.size() - stream_.avail_out);
      if (result == Z_BUF_ERROR) return;
      if (result == Z_STREAM_END) endMember();
      else if (result != Z_OK) refuse(result);
      else if (isBetweenBlocks()) considerCheckpoint(bytes.size() - stream_.avail_in);
    }
  }

 private:
  bool isBetweenBlocks() const { return (stream_.data_type & 128) != 0 && (stream_.data_type & 64) == 0; }

  void considerCheckpoint(size_t consumed) {
    // More than the size, not as much as it: SOCI makes its spans so, and a zTOC of ours is to be the same.
    if (output_.hasSpans() && output_.spanLength() <= spanBytes_) return;
    beginAtCheckpoint(consumed, static_cast<uint8_t>(stream_.data_type & 7));
  }

  void endMember() {
    streamCount_++;
    if (inflateReset(&stream_) != Z_OK) throw StreamError(StreamFault::corrupt, "zlib can't go on");
  }

  /** Behind a member: what can't be the header of another one. */
  void checkMagic() const {
    const size_t length = std::min<size_t>(sizeof GZIP_MAGIC - stream_.total_in, stream_.avail_in);
    if (std::equal(stream_.next_in, stream_.next_in + length, GZIP_MAGIC + stream_.total_in)) return;
    throw StreamError(StreamFault::trailingGarbage, "what follows a gzip member is no other one");
  }

  [[noreturn]] void refuse(int result) const {
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    const std::string_view message = stream_.msg != nullptr ? stream_.msg : "unknown error";
    // zlib has one code for all; its words have been the same since 1.2.
    const StreamFault fault = message == "incorrect data check"     ? StreamFault::checksum
                              : message == "incorrect length check" ? StreamFault::length
                                                                    : StreamFault::corrupt;
    throw StreamError(fault, std::string("the gzip stream is damaged: ").append(message));
  }

  z_stream stream_{};
};

class ZstdScanner final : public SpanScanner {
 public:
  ZstdScanner(uint64_t spanBytes, SpanOutput& output)
      : SpanScanner(spanBytes, output), context_(ZSTD_createDCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
  }

  void finish() override {
    if (streamCount_ > 0 && isAtFrameStart_) return;
    throw StreamError(StreamFault::truncated, "the zstd stream ends inside a frame");
  }

 protected:
  void decode(std::span<const uint8_t> bytes) override {
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    while (true) {
      if (isAtFrameStart_) {
        if (input.pos == input.size) return;
        beginFrame(input.pos);
      } else if (leftInSpan() == 0) {
        output_.beginInside();
      }
      checkMagic(bytes.subspan(input.pos));
      const std::span<uint8_t> room = output_.room(leftInSpan());
      ZSTD_outBuffer output{room.data(), room.size(), 0};
      const size_t before = input.pos;
      const size_t result = ZSTD_decompressStream(context_.get(), &output, &input);
      if (ZSTD_isError(result) != 0) refuse(result);
      keepHeader(bytes.subspan(before, input.pos - before));
      output_.filled(output.pos);
      if (result == 0) endFrame();
      else if (output.pos == 0 && input.pos == before) return;
    }
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  void beginFrame(size_t consumed) {
    isAtFrameStart_ = false;
    headerLength_ = 0;
    frameStart_ = output_.position();
    const bool isFar = output_.hasSpans() && output_.position() - output_.lastCheckpoint().dataOffset >= spanBytes_;
    if (!output_.hasSpans() || isFar) beginAtCheckpoint(consumed, 0);
    else if (leftInSpan() == 0) output_.beginInside();
  }

  /** zstd would read the formats before its first version, too, where no border of pieces lies in their magic. */
  void checkMagic(std::span<const uint8_t> bytes) const {
    if (headerLength_ >= sizeof ZSTD_MAGIC) return;
    const size_t known = headerLength_;
    std::array<uint8_t, sizeof ZSTD_MAGIC> magic{};
    std::copy_n(header_.begin(), known, magic.begin());
    const size_t length = std::min(magic.size(), known + bytes.size());
    std::copy_n(bytes.begin(), length - known, magic.begin() + static_cast<ptrdiff_t>(known));
    const bool isFrame = std::equal(magic.begin(), magic.begin() + static_cast<ptrdiff_t>(length), ZSTD_MAGIC);
    magic[0] &= 0xf0;  // the rest is the writer's choice
    if (!isFrame && !std::equal(magic.begin(), magic.begin() + static_cast<ptrdiff_t>(length), SKIPPABLE_MAGIC)) {
      if (streamCount_ > 0) throw StreamError(StreamFault::trailingGarbage, "what follows a zstd frame is no other one");
      throw StreamError(StreamFault::corrupt, "the stream does not begin with a zstd frame");
    }
  }

  void keepHeader(std::span<const uint8_t> bytes) {
    const size_t length = std::min(header_.size() - headerLength_, bytes.size());
    std::copy_n(bytes.begin(), length, header_.begin() + static_cast<ptrdiff_t>(headerLength_));
    headerLength_ += length;
  }

  void endFrame() {
    isAtFrameStart_ = true;
    streamCount_++;
    // A frame that ends with an empty block gets past zstd's own check.
    const unsigned long long claimed = ZSTD_getFrameContentSize(header_.data(), headerLength_);
    if (claimed == ZSTD_CONTENTSIZE_UNKNOWN || claimed == output_.position() - frameStart_) return;
    throw StreamError(StreamFault::corrupt, "a zstd frame has not as many bytes as its header says");
  }

  [[noreturn]] void refuse(size_t result) const {
    const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    if (code == ZSTD_error_memory_allocation) throw std::bad_alloc();
    const StreamFault fault = code == ZSTD_error_checksum_wrong ? StreamFault::checksum : StreamFault::corrupt;
    throw StreamError(fault, std::string("the zstd stream is damaged: ") + ZSTD_getErrorName(result));
  }

  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool isAtFrameStart_ = true;
  /** Decoded bytes before the frame. */
  uint64_t frameStart_ = 0;
  std::array<uint8_t, ZSTD_HEADER_MAX> header_{};
  size_t headerLength_ = 0;
};

}  // namespace

std::vector<BlobCut> SpanScanner::scan(std::span<const uint8_t> bytes) {
  decode(bytes);
  scanned_ += bytes.size();
  return std::exchange(cuts_, {});
}

void SpanScanner::beginAtCheckpoint(size_t consumed, uint8_t bits) {
  output_.beginAtCheckpoint(scanned_ + consumed, bits);
  cuts_.push_back({consumed, bits > 0});
}

size_t SpanScanner::leftInSpan() const {
  return static_cast<size_t>(std::min<uint64_t>(spanBytes_ - output_.spanLength(), SIZE_MAX));
}

std::unique_ptr<SpanScanner> SpanScanner::make(Codec codec, uint64_t spanBytes, SpanOutput& output) {
  switch (codec) {
    case Codec::gzip: return std::make_unique<GzipScanner>(spanBytes, output);
    case Codec::zstd: return std::make_unique<ZstdScanner>(spanBytes, output);
    case Codec::raw: break;
  }
  return std::make_unique<RawScanner>(spanBytes, output);
}

}  // namespace lazuli
