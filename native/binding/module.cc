#include <napi.h>

#include "plane_binding.h"
#include "syscalls_binding.h"

namespace {

Napi::Object initModule(Napi::Env env, Napi::Object exports) {
  lazuli::PlaneBinding::define(env, exports);
  return initSyscalls(env, exports);
}

}  // namespace

NODE_API_MODULE(lazuli, initModule)
