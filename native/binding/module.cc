#include <napi.h>

#include "btrfs_binding.h"
#include "container_binding.h"
#include "file_steps_binding.h"
#include "indexer_binding.h"
#include "layer_files_binding.h"
#include "member_binding.h"
#include "mount_binding.h"
#include "plane_binding.h"
#include "project_quota_binding.h"
#include "syscalls_binding.h"
#include "tree_binding.h"
#include "zstd_binding.h"

namespace {

Napi::Object initModule(Napi::Env env, Napi::Object exports) {
  lazuli::PlaneBinding::define(env, exports);
  lazuli::IndexerBinding::define(env, exports);
  initBtrfs(env, exports);
  initContainers(env, exports);
  initMembers(env, exports);
  initFileSteps(env, exports);
  initLayerFiles(env, exports);
  initMounts(env, exports);
  initProjectQuotas(env, exports);
  initTrees(env, exports);
  initSyscalls(env, exports);
  return initZstd(env, exports);
}

}  // namespace

NODE_API_MODULE(lazuli, initModule)
