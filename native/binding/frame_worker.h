#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <span>

#include "../core/zstd_frame.h"

namespace lazuli {

/** Coding of one frame or member on a thread of libuv, because it waits for nothing but the processor. Frees itself. */
class FrameWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<DecodedFrame(std::span<const uint8_t>)>;

  /** A promise of a Buffer. `bytes` is a Uint8Array, and is kept. Throws std::invalid_argument. */
  static Napi::Promise start(Napi::Env env, const Napi::Value& bytes, Work work);

 protected:
  void Execute() override;
  void OnOK() override;
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  FrameWorker(Napi::Env env, const Napi::Value& bytes, Work work);
  Napi::Error refusal();

  const Napi::Promise::Deferred deferred_;
  /** Keeps what `bytes_` points to. */
  const Napi::ObjectReference kept_;
  const std::span<const uint8_t> bytes_;
  const Work work_;
  DecodedFrame result_{FrameStatus::corrupt, {}};
};

}  // namespace lazuli
