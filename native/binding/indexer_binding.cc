#include "indexer_binding.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "../core/limits.h"
#include "arguments.h"
#include "js_errors.h"
#include "pending_call.h"

namespace lazuli {
namespace {

SpanScanner::Codec codecArgument(const Napi::Value& value) {
  const std::string name = textArgument(value, "codec");
  if (name == "gzip") return SpanScanner::Codec::gzip;
  if (name == "zstd") return SpanScanner::Codec::zstd;
  if (name == "raw") return SpanScanner::Codec::raw;
  throw std::invalid_argument("Argument \"codec\" must be \"gzip\", \"zstd\" or \"raw\"");
}

/** A buffer over what the vector held. */
template <typename Item>
Napi::Value give(Napi::Env env, std::vector<Item>& items) {
  auto* owned = new std::vector<Item>(std::move(items));
  return Napi::Buffer<uint8_t>::New(
      env, reinterpret_cast<uint8_t*>(owned->data()), owned->size() * sizeof(Item),
      [](Napi::Env, uint8_t*, std::vector<Item>* given) { delete given; }, owned);
}

Napi::Value toNumber(Napi::Env env, uint64_t number) {
  return Napi::Number::New(env, static_cast<double>(number));
}

Napi::Value toIndexed(Napi::Env env, StreamIndexer::Result& result) {
  auto value = Napi::Object::New(env);
  value.Set("blobSha256", Napi::Buffer<uint8_t>::Copy(env, result.blobSha256.data(), result.blobSha256.size()));
  value.Set("blobSize", toNumber(env, result.blobSize));
  value.Set("dataSha256", Napi::Buffer<uint8_t>::Copy(env, result.dataSha256.data(), result.dataSha256.size()));
  value.Set("dataSize", toNumber(env, result.dataSize));
  value.Set("spans", give(env, result.spans));
  value.Set("windows", give(env, result.windows));
  value.Set("streamCount", toNumber(env, result.streamCount));
  value.Set("tarHeaders", give(env, result.tarHeaders));
  value.Set("leafDigests", give(env, result.leafDigests));
  return value;
}

/** An indexer that is collected is cancelled: not one that somebody waits for. */
Napi::Value keeping(const Napi::CallbackInfo& info, const Napi::Promise& promise) {
  promise.As<Napi::Object>().DefineProperty(Napi::PropertyDescriptor::Value("indexer", info.This(), napi_default));
  return promise;
}

Napi::Value invalidState(Napi::Env env, const char* message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, "ERR_INVALID_STATE"));
  error.ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace

void IndexerBinding::define(Napi::Env env, Napi::Object exports) {
  exports.Set("StreamIndexer", DefineClass(env, "StreamIndexer",
                                           {
                                               InstanceMethod<&IndexerBinding::push>("push"),
                                               InstanceMethod<&IndexerBinding::end>("end"),
                                               InstanceMethod<&IndexerBinding::close>("close"),
                                           }));
}

IndexerBinding::IndexerBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<IndexerBinding>(info) {
  guarded(info.Env(), [&] {
    construct(objectArgument(info[0], "options"));
    return info.Env().Undefined();
  });
}

IndexerBinding::~IndexerBinding() {
  if (indexer_ != nullptr) indexer_->close();
}

void IndexerBinding::construct(const Napi::Object& options) {
  const SpanScanner::Codec codec = codecArgument(options.Get("codec"));
  const uint64_t spanBytes = integerArgument(options.Get("spanSizeBytes"), "spanSizeBytes", 1, DATA_BYTES_MAX);
  const bool keepsWindows = booleanArgument(options.Get("keepWindows"), "keepWindows");
  const uint64_t dataSizeMax = integerArgument(options.Get("dataSizeMax"), "dataSizeMax", 0, DATA_BYTES_MAX - 1);
  const Napi::Value leaf = options.Get("leafSizeBytes");
  const uint64_t leafBytes = leaf.IsUndefined() ? 0 : integerArgument(leaf, "leafSizeBytes", 1, DATA_BYTES_MAX);
  std::optional<FileDescriptor> data;
  if (const Napi::Value given = options.Get("dataFd"); !given.IsUndefined()) {
    const int fd = fcntl(descriptorArgument(given, "dataFd"), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "fcntl");
    data.emplace(fd);
  }
  indexer_ = std::make_shared<StreamIndexer>(
      StreamIndexer::Options{codec, std::move(data), spanBytes, keepsWindows, dataSizeMax, leafBytes});
}

Napi::Value IndexerBinding::push(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const std::span<const uint8_t> bytes = bytesArgument(info[0], "bytes");
    if (bytes.size() > StreamIndexer::PUSH_BYTES_MAX) {
      throw std::invalid_argument("Argument \"bytes\" must have at most " +
                                  std::to_string(StreamIndexer::PUSH_BYTES_MAX) + " bytes");
    }
    if (isEnded_) return invalidState(env, "Cannot push: the stream was ended");
    if (!indexer_->hasRoom()) return invalidState(env, "Cannot push: an earlier push has not resolved");
    const auto deferred = Napi::Promise::Deferred::New(env);
    try {
      indexer_->push(bytes);
    } catch (const std::exception& thrown) {
      deferred.Reject(toCallError(env, thrown).Value());
      return deferred.Promise();
    }
    if (indexer_->hasRoom()) {
      deferred.Resolve(env.Undefined());
      return deferred.Promise();
    }
    return keeping(info, later<std::monostate>(
                             env, "StreamIndexer",
                             [indexer = indexer_] { return indexer->waitForRoom(), std::monostate{}; }, nothing));
  });
}

Napi::Value IndexerBinding::end(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (isEnded_) return invalidState(info.Env(), "Cannot end: the stream was ended");
    isEnded_ = true;
    return keeping(info, later<StreamIndexer::Result>(
                             info.Env(), "StreamIndexer", [indexer = indexer_] { return indexer->finish(); }, toIndexed));
  });
}

Napi::Value IndexerBinding::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "StreamIndexer", [indexer = indexer_] { return indexer->close(), std::monostate{}; }, nothing);
  });
}

}  // namespace lazuli
