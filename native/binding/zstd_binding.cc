#include "zstd_binding.h"

#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../core/limits.h"
#include "../core/zstd_frame.h"
#include "arguments.h"
#include "js_errors.h"

namespace lazuli {
namespace {

constexpr uint64_t LEVEL_MAX = 19;

/** A frame's work on a thread of libuv, because it waits for nothing but the processor. Frees itself. */
class FrameWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<DecodedFrame(std::span<const uint8_t>)>;

  FrameWorker(Napi::Env env, const Napi::Value& bytes, Work work)
      : Napi::AsyncWorker(env, "lazuli-zstd"),
        deferred_(Napi::Promise::Deferred::New(env)),
        kept_(Napi::Persistent(bytes.As<Napi::Object>())),
        bytes_(bytesArgument(bytes, "bytes")),
        work_(std::move(work)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_ = work_(bytes_);
    } catch (const std::exception& thrown) {
      SetError(thrown.what());
    }
  }

  void OnOK() override {
    if (result_.status != FrameStatus::ok) {
      deferred_.Reject(refusal().Value());
      return;
    }
    auto* bytes = new std::vector<uint8_t>(std::move(result_.bytes));
    deferred_.Resolve(Napi::Buffer<uint8_t>::New(
        Env(), bytes->data(), bytes->size(), [](Napi::Env, uint8_t*, std::vector<uint8_t>* owned) { delete owned; }, bytes));
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Error refusal() {
    const bool isLarge = result_.status == FrameStatus::tooLarge;
    const bool isCut = result_.status == FrameStatus::truncated;
    Napi::Error error = Napi::Error::New(
        Env(), isLarge ? "The frame holds more than is allowed" : isCut ? "The frame is cut" : "The frame is no whole zstd frame");
    const char* code = isLarge ? "ERR_ZSTD_TOO_LARGE" : isCut ? "ERR_ZSTD_TRUNCATED" : "ERR_ZSTD_CORRUPT";
    error.Set("code", Napi::String::New(Env(), code));
    return error;
  }

  const Napi::Promise::Deferred deferred_;
  /** Keeps what `bytes_` points to. */
  const Napi::ObjectReference kept_;
  const std::span<const uint8_t> bytes_;
  const Work work_;
  DecodedFrame result_{FrameStatus::corrupt, {}};
};

Napi::Value start(const Napi::CallbackInfo& info, FrameWorker::Work work) {
  auto worker = std::make_unique<FrameWorker>(info.Env(), info[0], std::move(work));
  worker->Queue();
  // It frees itself from now on.
  return worker.release()->promise();
}

Napi::Value decompressFrameCall(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    bytesArgument(info[0], "bytes");
    const uint64_t maxSize = integerArgument(info[1], "maxSize", 0, STREAM_BYTES_MAX);
    return start(info, [=](std::span<const uint8_t> bytes) { return decodeFrame(bytes, maxSize); });
  });
}

Napi::Value compressFrameCall(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (bytesArgument(info[0], "bytes").size() > STREAM_BYTES_MAX) {
      throw std::invalid_argument("Argument \"bytes\" must have at most " + std::to_string(STREAM_BYTES_MAX) + " bytes");
    }
    const int level = static_cast<int>(integerArgument(info[1], "level", 1, LEVEL_MAX));
    return start(info, [=](std::span<const uint8_t> bytes) {
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
