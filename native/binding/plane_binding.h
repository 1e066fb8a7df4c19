#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <unordered_map>

#include "../core/plane.h"

namespace lazuli {

/**
 * `NativePlane` of src/fuse/binding.ts: turns JavaScript's values into plain ones, and the plane's events into calls. A
 * plane that was not closed lives until its environment ends, and keeps the event loop alive.
 */
class PlaneBinding : public Napi::ObjectWrap<PlaneBinding> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit PlaneBinding(const Napi::CallbackInfo& info);
  ~PlaneBinding() override;

 private:
  struct Pending {
    Napi::Promise::Deferred promise;
    /** Keeps the bytes that the workers read. */
    Napi::ObjectReference bytes;
  };

  void construct(Napi::Env env, const Napi::Object& options);
  Napi::Value addLayer(const Napi::CallbackInfo& info);
  Napi::Value removeLayer(const Napi::CallbackInfo& info);
  Napi::Value openSession(const Napi::CallbackInfo& info);
  Napi::Value closeSession(const Napi::CallbackInfo& info);
  Napi::Value ingest(const Napi::CallbackInfo& info);
  Napi::Value verify(const Napi::CallbackInfo& info);
  Napi::Value failReads(const Napi::CallbackInfo& info);
  Napi::Value presence(const Napi::CallbackInfo& info);
  Napi::Value sums(const Napi::CallbackInfo& info);
  Napi::Value presentCount(const Napi::CallbackInfo& info);
  Napi::Value sync(const Napi::CallbackInfo& info);
  Napi::Value evict(const Napi::CallbackInfo& info);
  Napi::Value punch(const Napi::CallbackInfo& info);
  Napi::Value lastUses(const Napi::CallbackInfo& info);
  Napi::Value bytesOnDisk(const Napi::CallbackInfo& info);
  Napi::Value isDataShared(const Napi::CallbackInfo& info);
  Napi::Value limitWorkers(const Napi::CallbackInfo& info);
  Napi::Value taskPromise(Napi::Env env, uint64_t task);
  Napi::Value startTouches(const Napi::CallbackInfo& info);
  Napi::Value takeTouches(const Napi::CallbackInfo& info);
  Napi::Value waitingTouches(const Napi::CallbackInfo& info);
  Napi::Value stopTouches(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value park(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  Plane& open();
  void deliver(Napi::Env env);
  void settle(Napi::Env env, EventBatch& batch);
  void callBack(Napi::Env env, const Napi::FunctionReference& callback, const Napi::Array& items);
  void shutDown();
  static void onEnvironmentEnd(void* self);

  std::unique_ptr<Plane> plane_;
  bool isClosed_ = false;
  Napi::ThreadSafeFunction wake_;
  Napi::FunctionReference onMiss_;
  Napi::FunctionReference onInterrupt_;
  Napi::FunctionReference onDamaged_;
  Napi::FunctionReference onRefused_;
  std::unordered_map<uint64_t, Pending> pending_;
};

}  // namespace lazuli
