#pragma once

#include <napi.h>

#include <exception>

namespace lazuli {

/** The error that JavaScript sees: `code` and `syscall` for a failed system call, `code` for a wrong argument. */
Napi::Error toJsError(Napi::Env env, const std::exception& thrown);
Napi::Error systemError(Napi::Env env, int error, const char* call);

/** Runs what JavaScript called: the one place where C++ exceptions become JavaScript's. */
template <typename Body>
Napi::Value guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const std::exception& thrown) {
    if (!env.IsExceptionPending()) toJsError(env, thrown).ThrowAsJavaScriptException();
    return env.Undefined();
  }
}

}  // namespace lazuli
