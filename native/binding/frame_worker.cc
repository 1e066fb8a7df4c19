#include "frame_worker.h"

#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "arguments.h"

namespace lazuli {

FrameWorker::FrameWorker(Napi::Env env, const Napi::Value& bytes, Work work)
    : Napi::AsyncWorker(env, "lazuli-frame"),
      deferred_(Napi::Promise::Deferred::New(env)),
      kept_(Napi::Persistent(bytes.As<Napi::Object>())),
      bytes_(bytesArgument(bytes, "bytes")),
      work_(std::move(work)) {}

Napi::Promise FrameWorker::start(Napi::Env env, const Napi::Value& bytes, Work work) {
  bytesArgument(bytes, "bytes");
  std::unique_ptr<FrameWorker> worker(new FrameWorker(env, bytes, std::move(work)));
  worker->Queue();
  // It frees itself from now on.
  return worker.release()->deferred_.Promise();
}

void FrameWorker::Execute() {
  try {
    result_ = work_(bytes_);
  } catch (const std::exception& thrown) {
    SetError(thrown.what());
  }
}

void FrameWorker::OnOK() {
  if (result_.status != FrameStatus::ok) {
    deferred_.Reject(refusal().Value());
    return;
  }
  auto* bytes = new std::vector<uint8_t>(std::move(result_.bytes));
  deferred_.Resolve(Napi::Buffer<uint8_t>::New(
      Env(), bytes->data(), bytes->size(), [](Napi::Env, uint8_t*, std::vector<uint8_t>* owned) { delete owned; }, bytes));
}

Napi::Error FrameWorker::refusal() {
  const bool isLarge = result_.status == FrameStatus::tooLarge;
  const bool isCut = result_.status == FrameStatus::truncated;
  Napi::Error error = Napi::Error::New(
      Env(), isLarge ? "The frame holds more than is allowed" : isCut ? "The frame is cut" : "The frame is no whole zstd frame");
  const char* code = isLarge ? "ERR_ZSTD_TOO_LARGE" : isCut ? "ERR_ZSTD_TRUNCATED" : "ERR_ZSTD_CORRUPT";
  error.Set("code", Napi::String::New(Env(), code));
  return error;
}

}  // namespace lazuli
