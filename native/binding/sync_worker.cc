#include "sync_worker.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "js_errors.h"

namespace lazuli {

SyncWorker::SyncWorker(Napi::Env env, std::shared_ptr<Layer> layer)
    : Napi::AsyncWorker(env, "lazuli-sync"),
      layer_(std::move(layer)),
      deferred_(Napi::Promise::Deferred::New(env)),
      presence_(layer_->presence()) {}

void SyncWorker::Execute() {
  if (fdatasync(layer_->dataFd()) != 0) error_ = errno;
}

void SyncWorker::OnOK() {
  if (error_ != 0) deferred_.Reject(systemError(Env(), error_, "fdatasync").Value());
  else deferred_.Resolve(Napi::Buffer<uint8_t>::Copy(Env(), presence_.data(), presence_.size()));
}

}  // namespace lazuli
