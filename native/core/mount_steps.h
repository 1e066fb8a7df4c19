#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "file_descriptor.h"
#include "syscalls.h"

namespace lazuli {

/** A flag, a text of at most 255 bytes, or an open file. */
using MountValue = std::variant<std::monostate, std::string, int>;

struct MountSetting {
  std::string key;
  MountValue value;
};

/** Of mount_setattr(2). */
struct MountAttributes {
  /** MOUNT_ATTR_*. */
  uint64_t set = 0;
  /** With MOUNT_ATTR_IDMAP in `set`: the user namespace whose maps it takes. */
  int userNamespace = -1;
  bool isRecursive = false;
};

// All of them throw SystemCallError. A mount that is nowhere yet goes with its last descriptor.

/** fsopen, fsconfig for each setting, fsmount: a new mount that is nowhere yet. `attributes` are MOUNT_ATTR_*. */
FileDescriptor makeMount(const std::string& type, const std::vector<MountSetting>& settings, uint32_t attributes);
/** The context of a file system takes this setting: asks without making a mount. */
void trySetting(const std::string& type, const MountSetting& setting);
/** A copy of what is mounted at a path, from there on, that is nowhere yet. */
FileDescriptor cloneMount(const std::string& path, bool isRecursive);
void setMountAttributes(int mount, const MountAttributes& attributes);
void attachMount(int mount, const std::string& target);
/** mount(2) with a current folder of its own, which relative paths in `options` begin at. */
void mountFrom(const std::string& folder, const MountOptions& options);
/** A file's descriptor for paths in mounts: nothing of it is opened. */
FileDescriptor openPlace(const std::string& path);
/** The real path of `inside`, where links and ".." can't lead out of `root`. */
std::string resolveInRoot(const std::string& root, const std::string& inside);

}  // namespace lazuli
