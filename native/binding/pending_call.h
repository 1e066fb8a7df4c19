#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
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

/**
 * Whether the environment that waits for a call is still there. Node frees a thread-safe function with its environment,
 * whoever still holds it: a thread whose call outlasts a worker must not touch it. Begins after the function is made, so
 * that it hears of the end before.
 */
class Caller {
 public:
  /** On the JS thread; must live until leave() or the environment's end. */
  void await(napi_env env);
  /** On the JS thread. */
  void leave(napi_env env);
  /** On any thread: calls back unless the environment is gone, which waits meanwhile. */
  template <typename Call>
  void tell(Call call) {
    const std::lock_guard lock(mutex_);
    if (!isGone_) call();
  }

 private:
  static void onEnvironmentEnd(void* self);

  std::mutex mutex_;
  bool isGone_ = false;
};

/** One call on its way from JavaScript through a thread back to its promise. */
template <typename Result>
struct PendingCall {
  std::function<Result()> call;
  Napi::Value (*toValue)(Napi::Env, Result&);
  Napi::Promise::Deferred deferred;
  Napi::ThreadSafeFunction wake;
  Result result{};
  std::exception_ptr error;
  Caller caller{};

  /** On the JS thread. */
  void settle(Napi::Env env) {
    caller.leave(env);
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
  std::shared_ptr<PendingCall<Result>> pending(
      new PendingCall<Result>{std::move(call), toValue, deferred, wake, Result{}, nullptr});
  pending->caller.await(env);
  const auto run = [pending] {
    try {
      pending->result = pending->call();
    } catch (...) {
      pending->error = std::current_exception();
    }
    pending->caller.tell([&pending] {
      const auto settle = [pending](Napi::Env settling, Napi::Function) { pending->settle(settling); };
      // The queue has room for it.
      if (pending->wake.BlockingCall(settle) == napi_ok) pending->wake.Release();
    });
  };
  try {
    CallThreads::instance().run(run, name);
  } catch (const std::exception& thrown) {
    pending->caller.leave(env);
    wake.Release();
    deferred.Reject(toCallError(env, thrown).Value());
  }
  return deferred.Promise();
}

}  // namespace lazuli
