#include "container_binding.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../core/network_connection.h"
#include "../core/rooted_file.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {
namespace {

/** Files that are read at once into memory. */
constexpr uint64_t FILE_BYTES_MAX = 64ULL << 20;

using Content = std::optional<std::vector<uint8_t>>;

Napi::Value toBuffer(Napi::Env env, Content& content) {
  if (!content) return env.Undefined();
  return Napi::Buffer<uint8_t>::Copy(env, content->data(), content->size());
}

Napi::Value readCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto bytesMax = static_cast<size_t>(integerArgument(info[2], "bytesMax", 0, FILE_BYTES_MAX));
    const auto run = [root = textArgument(info[0], "root"), path = textArgument(info[1], "path"), bytesMax] {
      return readRootedFile(root, path, bytesMax);
    };
    return later<Content>(info.Env(), "readFile", run, toBuffer);
  });
}

Napi::Value toNumber(Napi::Env env, FileDescriptor& fd) {
  return Napi::Number::New(env, fd.release());
}

Napi::Value connectCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto port = static_cast<uint16_t>(integerArgument(info[1], "port", 1, UINT16_MAX));
    const auto run = [path = textArgument(info[0], "namespacePath"), port] { return connectInNamespace(path, port); };
    return later<FileDescriptor>(info.Env(), "connect", run, toNumber);
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initContainers(Napi::Env env, Napi::Object exports) {
  auto containers = Napi::Object::New(env);
  containers.Set("readFile", Napi::Function::New(env, lazuli::readCall, "readFile"));
  containers.Set("connect", Napi::Function::New(env, lazuli::connectCall, "connect"));
  exports.Set("containers", containers);
  return exports;
}
