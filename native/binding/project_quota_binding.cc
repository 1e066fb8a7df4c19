#include "project_quota_binding.h"

#include <string>
#include <utility>
#include <variant>

#include "../core/project_quota.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {
namespace {

constexpr uint64_t PROJECT_MAX = UINT32_MAX - 1;
/** The largest whole number that JavaScript has exactly. */
constexpr uint64_t BYTES_MAX = (1ULL << 53) - 1;

uint32_t projectArgument(const Napi::Value& value, uint64_t min) {
  return static_cast<uint32_t>(integerArgument(value, "project", min, PROJECT_MAX));
}

Napi::Value toNumber(Napi::Env env, uint32_t& number) { return Napi::Number::New(env, number); }

Napi::Value toState(Napi::Env env, ProjectQuotaState& state) {
  auto object = Napi::Object::New(env);
  object.Set("isAccounted", Napi::Boolean::New(env, state.isAccounted));
  object.Set("isEnforced", Napi::Boolean::New(env, state.isEnforced));
  return object;
}

Napi::Value toProjectUsage(Napi::Env env, ProjectUsage& usage) {
  auto object = Napi::Object::New(env);
  object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(usage.sizeBytes)));
  object.Set("inodes", Napi::Number::New(env, static_cast<double>(usage.inodes)));
  object.Set("limitBytes", Napi::Number::New(env, static_cast<double>(usage.limitBytes)));
  return object;
}

Napi::Value stateCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<ProjectQuotaState>(
        info.Env(), "state", [path = textArgument(info[0], "path")] { return projectQuotaState(path); }, toState);
  });
}

Napi::Value projectCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<uint32_t>(
        info.Env(), "project", [path = textArgument(info[0], "path")] { return projectOf(path); }, toNumber);
  });
}

Napi::Value assignCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "assign",
        [path = textArgument(info[0], "path"), project = projectArgument(info[1], 1)] {
          return assignProject(path, project), std::monostate{};
        },
        nothing);
  });
}

Napi::Value limitCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "limit",
        [path = textArgument(info[0], "path"), project = projectArgument(info[1], 1),
         bytes = integerArgument(info[2], "limitBytes", 0, BYTES_MAX)] {
          return limitProject(path, project, bytes), std::monostate{};
        },
        nothing);
  });
}

Napi::Value usageCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<ProjectUsage>(
        info.Env(), "usage",
        [path = textArgument(info[0], "path"), project = projectArgument(info[1], 0)] {
          return projectUsage(path, project);
        },
        toProjectUsage);
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initProjectQuotas(Napi::Env env, Napi::Object exports) {
  using namespace lazuli;
  auto quotas = Napi::Object::New(env);
  quotas.Set("state", Napi::Function::New(env, stateCall, "state"));
  quotas.Set("project", Napi::Function::New(env, projectCall, "project"));
  quotas.Set("assign", Napi::Function::New(env, assignCall, "assign"));
  quotas.Set("limit", Napi::Function::New(env, limitCall, "limit"));
  quotas.Set("usage", Napi::Function::New(env, usageCall, "usage"));
  exports.Set("projectQuotas", quotas);
  return exports;
}
