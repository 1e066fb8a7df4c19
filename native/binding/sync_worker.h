#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "../core/layer.h"

namespace lazuli {

/** fdatasync of a layer's data file on a thread of libuv, so that it holds up no worker. Frees itself. */
class SyncWorker final : public Napi::AsyncWorker {
 public:
  SyncWorker(Napi::Env env, std::shared_ptr<Layer> layer);

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override;
  void OnOK() override;

 private:
  const std::shared_ptr<Layer> layer_;
  const Napi::Promise::Deferred deferred_;
  /** The bits set before the sync began. */
  const std::vector<uint8_t> presence_;
  int error_ = 0;
};

}  // namespace lazuli
