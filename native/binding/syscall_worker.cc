#include "syscall_worker.h"

#include <uv.h>

#include <cstring>
#include <string>

namespace lazuli {

Napi::Error failureError(Napi::Env env, const SyscallFailure& failure) {
  std::string message = std::string(failure.call) + ": " + strerror(failure.error);
  if (!failure.detail.empty()) message += " (" + failure.detail + ")";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, uv_err_name(-failure.error)));
  error.Set("errno", Napi::Number::New(env, -failure.error));
  error.Set("syscall", Napi::String::New(env, failure.call));
  return error;
}

void SyscallWorker::OnOK() {
  if (failure_) deferred_.Reject(failureError(Env(), failure_).Value());
  else deferred_.Resolve(result_(Env()));
}

}  // namespace lazuli
