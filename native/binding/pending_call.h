#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "call_threads.h"

namespace lazuli {

/** As `toJsError`, with what a failed system call knows beyond its errno. */
Napi::Error toCallError(Napi::Env env, const std::exception& thrown);

/** For calls that bring back nothing. */
Napi::Value nothing(Napi::Env env, std::monostate&);

/** For the kernel, which would stop at a zero byte and take another path. */
std::string textArgument(const Napi::Value& value, const char* name);

template <typename Body>
Napi::Value answered(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const std::exception& thrown) {
    if (!env.IsExceptionPending()) toCallError(env, thrown).ThrowAsJavaScriptException();
    return env.Undefined();
  }
}

/** One call on its way from JavaScript through a thread back to its promise. */
template <typename Result>
struct PendingCall {
  std::function<Result()> call;
  Napi::Value (*toValue)(Napi::Env, Result&);
  Napi::Promise::Deferred deferred;
  Napi::ThreadSafeFunction wake;
  Result result{};
  std::exception_ptr error;

  /** On the JS thread. */
  void settle(Napi::Env env) {
    const Napi::HandleScope scope(env);
    try {
      if (error) std::rethrow_exception(error);
      deferred.Resolve(toValue(env, result));
    } catch (const std::exception& thrown) {
      deferred.Reject(toCallError(env, thrown).Value());
    }
  }
};

/** Runs `call` on a thread of its own, and makes its result a value on the JS thread. */
template <typename Result>
Napi::Promise later(Napi::Env env, const char* name, std::function<Result()> call,
                    Napi::Value (*toValue)(Napi::Env, Result&)) {
  auto deferred = Napi::Promise::Deferred::New(env);
  const auto empty = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  auto wake = Napi::ThreadSafeFunction::New(env, empty, name, 1, 1);
  auto pending = std::make_shared<PendingCall<Result>>(
      PendingCall<Result>{std::move(call), toValue, deferred, wake, Result{}, nullptr});
  const auto run = [pending] {
    try {
      pending->result = pending->call();
    } catch (...) {
      pending->error = std::current_exception();
    }
    // When the process ends meanwhile, nobody is left to be told.
    Napi::ThreadSafeFunction wake = pending->wake;
    const auto settle = [pending](Napi::Env settling, Napi::Function) { pending->settle(settling); };
    if (wake.BlockingCall(settle) == napi_ok) wake.Release();
  };
  try {
    CallThreads::instance().run(run, name);
  } catch (const std::exception& thrown) {
    wake.Release();
    deferred.Reject(toCallError(env, thrown).Value());
  }
  return deferred.Promise();
}

}  // namespace lazuli
