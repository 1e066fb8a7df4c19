#include "btrfs_binding.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "../core/btrfs.h"
#include "arguments.h"
#include "pending_call.h"
#include "tree_binding.h"

namespace lazuli {
namespace {

Napi::Value toNumber(Napi::Env env, uint64_t& number) {
  return Napi::Number::New(env, static_cast<double>(number));
}

Napi::Value toOptionalUsage(Napi::Env env, std::optional<TreeUsage>& usage) {
  return usage ? toUsage(env, *usage) : env.Undefined();
}

Napi::Value subvolumeIdCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<uint64_t>(
        info.Env(), "subvolumeId", [path = textArgument(info[0], "path")] { return subvolumeId(path); }, toNumber);
  });
}

Napi::Value createCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "createSubvolume",
        [path = textArgument(info[0], "path")] { return createSubvolume(path), std::monostate{}; }, nothing);
  });
}

Napi::Value snapshotCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "snapshotSubvolume",
        [source = textArgument(info[0], "source"), target = textArgument(info[1], "target"),
         isReadOnly = booleanArgument(info[2], "isReadOnly")] {
          return snapshotSubvolume(source, target, isReadOnly), std::monostate{};
        },
        nothing);
  });
}

Napi::Value setReadOnlyCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "setSubvolumeReadOnly",
        [path = textArgument(info[0], "path"), isReadOnly = booleanArgument(info[1], "isReadOnly")] {
          return setSubvolumeReadOnly(path, isReadOnly), std::monostate{};
        },
        nothing);
  });
}

Napi::Value deleteCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "deleteSubvolume",
        [path = textArgument(info[0], "path")] { return deleteSubvolume(path), std::monostate{}; }, nothing);
  });
}

Napi::Value accountedUsageCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::optional<TreeUsage>>(
        info.Env(), "accountedUsage", [path = textArgument(info[0], "path")] { return accountedUsage(path); },
        toOptionalUsage);
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initBtrfs(Napi::Env env, Napi::Object exports) {
  using namespace lazuli;
  auto btrfs = Napi::Object::New(env);
  btrfs.Set("subvolumeId", Napi::Function::New(env, subvolumeIdCall, "subvolumeId"));
  btrfs.Set("createSubvolume", Napi::Function::New(env, createCall, "createSubvolume"));
  btrfs.Set("snapshotSubvolume", Napi::Function::New(env, snapshotCall, "snapshotSubvolume"));
  btrfs.Set("setSubvolumeReadOnly", Napi::Function::New(env, setReadOnlyCall, "setSubvolumeReadOnly"));
  btrfs.Set("deleteSubvolume", Napi::Function::New(env, deleteCall, "deleteSubvolume"));
  btrfs.Set("accountedUsage", Napi::Function::New(env, accountedUsageCall, "accountedUsage"));
  exports.Set("btrfs", btrfs);
  return exports;
}
