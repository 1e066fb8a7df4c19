#include "zstd_binding.h"

#include <span>
#include <stdexcept>
#include <string>

#include "../core/limits.h"
#include "../core/zstd_frame.h"
#include "arguments.h"
#include "frame_worker.h"
#include "js_errors.h"

namespace lazuli {
namespace {

constexpr uint64_t LEVEL_MAX = 19;

Napi::Value decompressFrameCall(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    bytesArgument(info[0], "bytes");
    const uint64_t maxSize = integerArgument(info[1], "maxSize", 0, STREAM_BYTES_MAX);
    return FrameWorker::start(info.Env(), info[0], [=](std::span<const uint8_t> bytes) { return decodeFrame(bytes, maxSize); });
  });
}

Napi::Value compressFrameCall(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (bytesArgument(info[0], "bytes").size() > STREAM_BYTES_MAX) {
      throw std::invalid_argument("Argument \"bytes\" must have at most " + std::to_string(STREAM_BYTES_MAX) + " bytes");
    }
    const int level = static_cast<int>(integerArgument(info[1], "level", 1, LEVEL_MAX));
    return FrameWorker::start(info.Env(), info[0], [=](std::span<const uint8_t> bytes) {
      return DecodedFrame{FrameStatus::ok, encodeFrame(bytes, level)};
    });
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initZstd(Napi::Env env, Napi::Object exports) {
  exports.Set("decompressFrame", Napi::Function::New(env, lazuli::decompressFrameCall, "decompressFrame"));
  exports.Set("compressFrame", Napi::Function::New(env, lazuli::compressFrameCall, "compressFrame"));
  return exports;
}
