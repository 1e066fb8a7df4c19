#include "js_errors.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include "../core/stream_error.h"

namespace lazuli {

Napi::Error systemError(Napi::Env env, int error, const char* call) {
  // Both are null for a number that is no errno.
  const char* name = strerrorname_np(error);
  const std::string code = name != nullptr ? name : "UNKNOWN";
  const char* description = strerrordesc_np(error);
  Napi::Error wrapped = Napi::Error::New(env, code + ": " + (description != nullptr ? description : "unknown error") + ", " + call);
  wrapped.Set("code", Napi::String::New(env, code));
  wrapped.Set("errno", Napi::Number::New(env, -error));
  wrapped.Set("syscall", Napi::String::New(env, call));
  return wrapped;
}

Napi::Error toJsError(Napi::Env env, const std::exception& thrown) {
  if (const auto* system = dynamic_cast<const std::system_error*>(&thrown)) {
    // what() is "<call>: <text>": the call is what was given to the constructor.
    const std::string text = system->what();
    return systemError(env, system->code().value(), text.substr(0, text.find(':')).c_str());
  }
  Napi::Error wrapped = Napi::Error::New(env, thrown.what());
  if (const auto* stream = dynamic_cast<const StreamError*>(&thrown)) {
    wrapped.Set("code", Napi::String::New(env, "ERR_STREAM"));
    wrapped.Set("reason", Napi::String::New(env, stream->reason()));
  }
  const bool isRange = dynamic_cast<const std::out_of_range*>(&thrown) != nullptr;
  const bool isArgument = dynamic_cast<const std::invalid_argument*>(&thrown) != nullptr;
  if (isRange) wrapped.Set("code", Napi::String::New(env, "ERR_OUT_OF_RANGE"));
  if (isArgument) wrapped.Set("code", Napi::String::New(env, "ERR_INVALID_ARG_VALUE"));
  return wrapped;
}

}  // namespace lazuli
