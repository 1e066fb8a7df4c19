#pragma once

#include <napi.h>

/** Adds the system calls of src/fuse/binding.ts to the addon's exports. */
Napi::Object initSyscalls(Napi::Env env, Napi::Object exports);
