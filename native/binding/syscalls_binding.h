#pragma once

#include <napi.h>

/** Adds what src/fuse/binding.ts lists from `mount` to `socketPair`. Long calls run on threads of their own. */
Napi::Object initSyscalls(Napi::Env env, Napi::Object exports);
