#pragma once

#include <napi.h>

#include <memory>

#include "../core/stream_indexer.h"

namespace lazuli {

/** `NativeStreamIndexer` of src/fuse/native-stream-indexer.ts. Calls that wait do so on threads of CallThreads. */
class IndexerBinding : public Napi::ObjectWrap<IndexerBinding> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit IndexerBinding(const Napi::CallbackInfo& info);
  /** Waits for the threads, also where a call still holds the indexer. */
  ~IndexerBinding() override;

 private:
  void construct(const Napi::Object& options);
  Napi::Value push(const Napi::CallbackInfo& info);
  Napi::Value end(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<StreamIndexer> indexer_;
  bool isEnded_ = false;
};

}  // namespace lazuli
