#pragma once

#include <napi.h>

/** Defines compressMember on `exports` (src/fuse/binding.ts). */
Napi::Object initMembers(Napi::Env env, Napi::Object exports);
