#pragma once

#include <napi.h>

#include <functional>
#include <utility>

#include "../core/syscalls.h"

namespace lazuli {

/** The JavaScript error of a failed call: `code`, `errno`, `syscall`, and the kernel's own words in its message. */
Napi::Error failureError(Napi::Env env, const SyscallFailure& failure);

/** Runs one system call on a thread of libuv and settles a promise with what it gave. Frees itself. */
class SyscallWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<SyscallFailure()>;
  using Result = std::function<Napi::Value(Napi::Env)>;

  SyscallWorker(Napi::Env env, Work work, Result result)
      : Napi::AsyncWorker(env, "lazuli-syscall"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        result_(std::move(result)) {}

  /** Queues the call; the worker belongs to libuv from here on. */
  static Napi::Value run(Napi::Env env, Work work, Result result = undefinedResult) {
    auto* worker = new SyscallWorker(env, std::move(work), std::move(result));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override { failure_ = work_(); }
  void OnOK() override;

 private:
  static Napi::Value undefinedResult(Napi::Env env) { return env.Undefined(); }

  const Napi::Promise::Deferred deferred_;
  const Work work_;
  const Result result_;
  SyscallFailure failure_;
};

}  // namespace lazuli
