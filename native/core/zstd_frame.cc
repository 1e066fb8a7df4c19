#include "zstd_frame.h"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include "limits.h"

namespace lazuli {
namespace {

/** The first buffer; it doubles from there. */
constexpr uint64_t FIRST_BYTES = 256U << 10;
constexpr size_t MAGIC_BYTES = 4;

struct FreeDecoder {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
struct FreeEncoder {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

uint32_t magicOf(std::span<const uint8_t> frame) {
  uint32_t magic = 0;
  for (size_t at = 0; at < MAGIC_BYTES; at++) magic |= static_cast<uint32_t>(frame[at]) << (8 * at);
  return magic;
}

}  // namespace

DecodedFrame decodeFrame(std::span<const uint8_t> frame, uint64_t maxSize) {
  if (frame.size() < MAGIC_BYTES) return {FrameStatus::truncated, {}};
  // zstd would take a skippable frame for an empty one.
  if (magicOf(frame) != ZSTD_MAGICNUMBER) return {FrameStatus::corrupt, {}};
  const std::unique_ptr<ZSTD_DCtx, FreeDecoder> context(ZSTD_createDCtx());
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
  // One byte more than allowed tells a frame that is too large from one that fits exactly.
  const uint64_t roomMax = maxSize + 1;
  std::vector<uint8_t> bytes(static_cast<size_t>(std::min(FIRST_BYTES, roomMax)));
  ZSTD_inBuffer input{frame.data(), frame.size(), 0};
  size_t made = 0;
  while (true) {
    ZSTD_outBuffer output{bytes.data() + made, bytes.size() - made, 0};
    const size_t inBefore = input.pos;
    const size_t left = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(left) != 0) return {FrameStatus::corrupt, {}};
    made += output.pos;
    if (made > maxSize) return {FrameStatus::tooLarge, {}};
    if (left == 0) break;
    if (made == bytes.size()) {
      bytes.resize(static_cast<size_t>(std::min<uint64_t>(bytes.size() * 2, roomMax)));
    } else if (input.pos == input.size && input.pos == inBefore) {
      return {FrameStatus::truncated, {}};
    }
  }
  if (input.pos != input.size) return {FrameStatus::corrupt, {}};
  // A frame that ends with an empty block gets past zstd's own check.
  const unsigned long long claimed = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (claimed != ZSTD_CONTENTSIZE_UNKNOWN && claimed != made) return {FrameStatus::corrupt, {}};
  bytes.resize(made);
  return {FrameStatus::ok, std::move(bytes)};
}

std::vector<uint8_t> encodeFrame(std::span<const uint8_t> content, int level) {
  const std::unique_ptr<ZSTD_CCtx, FreeEncoder> context(ZSTD_createCCtx());
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::vector<uint8_t> frame(ZSTD_compressBound(content.size()));
  const size_t length = ZSTD_compress2(context.get(), frame.data(), frame.size(), content.data(), content.size());
  if (ZSTD_isError(length) != 0) throw std::runtime_error(ZSTD_getErrorName(length));
  frame.resize(length);
  return frame;
}

}  // namespace lazuli
