#include "member_binding.h"

#include <span>
#include <stdexcept>
#include <string>

#include "../core/gzip_member.h"
#include "../core/limits.h"
#include "../core/zstd_frame.h"
#include "arguments.h"
#include "frame_worker.h"
#include "js_errors.h"
#include "pending_call.h"

namespace lazuli {
namespace {

constexpr uint64_t GZIP_LEVEL_MAX = 9;
constexpr uint64_t ZSTD_LEVEL_MAX = 19;

Napi::Value compressMemberCall(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (bytesArgument(info[0], "bytes").size() > STREAM_BYTES_MAX) {
      throw std::invalid_argument("Argument \"bytes\" must have at most " + std::to_string(STREAM_BYTES_MAX) + " bytes");
    }
    const Napi::Object options = objectArgument(info[1], "options");
    const std::string codec = textArgument(options.Get("codec"), "codec");
    if (codec != "gzip" && codec != "zstd") throw std::invalid_argument("Argument \"codec\" must be \"gzip\" or \"zstd\"");
    const bool isGzip = codec == "gzip";
    const int level =
        static_cast<int>(integerArgument(options.Get("level"), "level", 1, isGzip ? GZIP_LEVEL_MAX : ZSTD_LEVEL_MAX));
    return FrameWorker::start(info.Env(), info[0], [=](std::span<const uint8_t> bytes) {
      return DecodedFrame{FrameStatus::ok, isGzip ? encodeMember(bytes, level) : encodeFrame(bytes, level)};
    });
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initMembers(Napi::Env env, Napi::Object exports) {
  exports.Set("compressMember", Napi::Function::New(env, lazuli::compressMemberCall, "compressMember"));
  return exports;
}
