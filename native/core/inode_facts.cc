#include "inode_facts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "rooted_folders.h"
#include "syscalls.h"

namespace lazuli {
namespace {

[[noreturn]] void failed(const char* call, std::string_view name) {
  throw SystemCallError(errno, call, std::string(name));
}

bool isLeftOut(std::string_view name, bool isPlain) {
  return name.starts_with("trusted.") || (name.starts_with("user.") && !isPlain);
}

void setXattrs(const LayerEntry& entry, const std::string& path, bool isPlain, bool follows) {
  for (const auto& [name, value] : entry.xattrs) {
    if (isLeftOut(name, isPlain)) continue;
    const std::string key(name);
    const int result = follows ? setxattr(path.c_str(), key.c_str(), value.data(), value.size(), 0)
                               : lsetxattr(path.c_str(), key.c_str(), value.data(), value.size(), 0);
    if (result != 0 && errno != ENOTSUP) failed("setxattr", entry.name);
  }
}

/** As much as the kernel has. */
std::vector<char> listed(int file) {
  const ssize_t length = flistxattr(file, nullptr, 0);
  if (length < 0 && errno == ENOTSUP) return {};
  std::vector<char> names(length < 0 ? 0 : static_cast<size_t>(length));
  const ssize_t taken = length < 0 ? -1 : flistxattr(file, names.data(), names.size());
  if (taken < 0) failed("flistxattr", "");
  names.resize(static_cast<size_t>(taken));
  return names;
}

}  // namespace

void setEntryFacts(int file, const LayerEntry& entry) {
  if (fchown(file, entry.uid, entry.gid) != 0) failed("chown", entry.name);
  if (!entry.xattrs.empty()) setXattrs(entry, "/proc/self/fd/" + std::to_string(file), true, true);
  if (fchmod(file, entry.mode) != 0) failed("chmod", entry.name);
  const std::array<timespec, 2> times{entry.mtime, entry.mtime};
  if (futimens(file, times.data()) != 0) failed("utimensat", entry.name);
}

void setNamedFacts(int parent, const std::string& name, const LayerEntry& entry) {
  if (fchownat(parent, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) failed("chown", entry.name);
  struct stat facts;
  if (fstatat(parent, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) failed("stat", entry.name);
  const std::string path = pathOfName(parent, name);
  setXattrs(entry, path, S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode), false);
  // A link has no mode of its own; nothing else at this name can be one, since nobody else changes the folder.
  if (!S_ISLNK(facts.st_mode) && fchmodat(parent, name.c_str(), entry.mode, 0) != 0) failed("chmod", entry.name);
  const std::array<timespec, 2> times{entry.mtime, entry.mtime};
  if (utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) failed("utimensat", entry.name);
}

void copyPlainXattrs(int source, int target) {
  const std::vector<char> names = listed(source);
  for (size_t start = 0; start < names.size();) {
    const std::string name(names.data() + start);
    start += name.size() + 1;
    if (name.starts_with("trusted.")) continue;
    const ssize_t length = fgetxattr(source, name.c_str(), nullptr, 0);
    if (length < 0) continue;
    std::vector<char> value(static_cast<size_t>(length));
    const ssize_t taken = fgetxattr(source, name.c_str(), value.data(), value.size());
    if (taken < 0) failed("fgetxattr", name);
    const int result = fsetxattr(target, name.c_str(), value.data(), static_cast<size_t>(taken), XATTR_CREATE);
    if (result != 0 && errno != ENOTSUP && errno != EEXIST) failed("fsetxattr", name);
  }
}

}  // namespace lazuli
