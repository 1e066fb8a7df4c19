#include "pending_call.h"

#include <stdexcept>

#include "../core/syscalls.h"
#include "js_errors.h"

namespace lazuli {

Napi::Error toCallError(Napi::Env env, const std::exception& thrown) {
  const auto* failed = dynamic_cast<const SystemCallError*>(&thrown);
  if (failed == nullptr) return toJsError(env, thrown);
  Napi::Error error = systemError(env, failed->code().value(), failed->call());
  if (!failed->detail().empty()) {
    error.Set("message", Napi::String::New(env, error.Message() + ": " + failed->detail()));
  }
  return error;
}

void Caller::await(napi_env env) {
  napi_add_env_cleanup_hook(env, onEnvironmentEnd, this);
}

void Caller::leave(napi_env env) {
  napi_remove_env_cleanup_hook(env, onEnvironmentEnd, this);
}

void Caller::onEnvironmentEnd(void* self) {
  auto* caller = static_cast<Caller*>(self);
  const std::lock_guard lock(caller->mutex_);
  caller->isGone_ = true;
}

Napi::Value nothing(Napi::Env env, std::monostate&) {
  return env.Undefined();
}

std::string textArgument(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw std::invalid_argument(std::string("Argument \"") + name + "\" must be a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) {
    throw std::invalid_argument(std::string("Argument \"") + name + "\" must not hold a zero byte");
  }
  return text;
}

}  // namespace lazuli
