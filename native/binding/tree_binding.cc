#include "tree_binding.h"

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "../core/tree_copy.h"
#include "../core/tree_removal.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {

Napi::Value toUsage(Napi::Env env, TreeUsage& usage) {
  auto value = Napi::Object::New(env);
  value.Set("size", Napi::Number::New(env, static_cast<double>(usage.sizeBytes)));
  value.Set("inodes", Napi::Number::New(env, static_cast<double>(usage.inodes)));
  return value;
}

namespace {

using Flag = std::shared_ptr<CancelFlag>;

/** `{ done, cancel }`: the promise, and what makes it end before its time. */
Napi::Value cancellable(Napi::Env env, const Flag& flag, const Napi::Promise& done) {
  auto call = Napi::Object::New(env);
  call.Set("done", done);
  const auto cancel = [flag](const Napi::CallbackInfo&) { flag->store(true, std::memory_order_relaxed); };
  call.Set("cancel", Napi::Function::New(env, cancel, "cancel"));
  return call;
}

Napi::Value usageCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, root = textArgument(info[0], "root")] { return treeUsage(root, *flag); };
    return cancellable(info.Env(), flag, later<TreeUsage>(info.Env(), "treeUsage", run, toUsage));
  });
}

Napi::Value differenceCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, lower = textArgument(info[0], "lower"), upper = textArgument(info[1], "upper")] {
      return treeDifference(lower, upper, *flag);
    };
    return cancellable(info.Env(), flag, later<TreeUsage>(info.Env(), "treeDifference", run, toUsage));
  });
}

Napi::Value copyCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, source = textArgument(info[0], "source"), target = textArgument(info[1], "target")] {
      return copyTree(source, target, *flag), std::monostate{};
    };
    return cancellable(info.Env(), flag, later<std::monostate>(info.Env(), "copyTree", run, nothing));
  });
}

Napi::Value removeCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "removeTree",
        [root = textArgument(info[0], "root")] { return removeTree(root), std::monostate{}; }, nothing);
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initTrees(Napi::Env env, Napi::Object exports) {
  using namespace lazuli;
  auto trees = Napi::Object::New(env);
  trees.Set("usage", Napi::Function::New(env, usageCall, "usage"));
  trees.Set("difference", Napi::Function::New(env, differenceCall, "difference"));
  trees.Set("copy", Napi::Function::New(env, copyCall, "copy"));
  trees.Set("remove", Napi::Function::New(env, removeCall, "remove"));
  exports.Set("trees", trees);
  return exports;
}
