#pragma once

#include <napi.h>

/** Adds `btrfs` (src/fuse/binding.ts). All of its calls run on threads of their own. */
Napi::Object initBtrfs(Napi::Env env, Napi::Object exports);
