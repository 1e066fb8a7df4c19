#pragma once

#include <napi.h>

#include "../core/tree_usage.h"

namespace lazuli {

/** `{ size, inodes }`. */
Napi::Value toUsage(Napi::Env env, TreeUsage& usage);

}  // namespace lazuli

/** Adds `trees` (src/fuse/binding.ts). All of its calls run on threads of their own. */
Napi::Object initTrees(Napi::Env env, Napi::Object exports);
