#pragma once

#include <napi.h>

/** Adds `mounts` (src/fuse/native-mounts.ts). All of its calls run on threads of their own. */
Napi::Object initMounts(Napi::Env env, Napi::Object exports);
