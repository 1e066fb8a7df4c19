#include "mount_steps.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <exception>
#include <thread>

namespace lazuli {
namespace {

// Numbers and constants of the kernel, because the headers of older distributions lack them.
constexpr long SYS_OPEN_TREE = 428;
constexpr long SYS_MOVE_MOUNT = 429;
constexpr long SYS_FSOPEN = 430;
constexpr long SYS_FSCONFIG = 431;
constexpr long SYS_FSMOUNT = 432;
constexpr long SYS_MOUNT_SETATTR = 442;
constexpr unsigned OPEN_TREE_COPY = 1;
constexpr unsigned FSOPEN_CLOSE_ON_EXEC = 1;
constexpr unsigned FSMOUNT_CLOSE_ON_EXEC = 1;
constexpr unsigned CONFIG_SET_FLAG = 0;
constexpr unsigned CONFIG_SET_STRING = 1;
constexpr unsigned CONFIG_SET_FD = 5;
constexpr unsigned CONFIG_CREATE = 6;
constexpr unsigned MOVE_FROM_EMPTY_PATH = 4;
constexpr unsigned WHOLE_TREE = 0x8000;
/** MOUNT_ATTR__ATIME. */
constexpr uint64_t ACCESS_TIMES = 0x70;
constexpr uint64_t NO_MAGIC_LINKS = 0x02;
constexpr uint64_t IN_ROOT = 0x10;
/** The kernel takes values up to this length and answers EINVAL beyond it. */
constexpr size_t CONFIG_VALUE_MAX = 255;
constexpr size_t KERNEL_MESSAGES_MAX = 8;

/** struct mount_attr of the kernel. */
struct RawAttributes {
  uint64_t set;
  uint64_t clear;
  uint64_t propagation;
  uint64_t userNamespace;
};

/** What the file system said: one message for each read, "e text", until there are no more. */
std::string kernelMessages(int context) {
  std::string all;
  std::array<char, 1024> text;
  for (size_t i = 0; i < KERNEL_MESSAGES_MAX; i++) {
    const ssize_t length = read(context, text.data(), text.size());
    if (length <= 0) break;
    std::string message(text.data(), static_cast<size_t>(length));
    while (!message.empty() && message.back() == '\n') message.pop_back();
    if (message.size() > 2 && message[1] == ' ') message.erase(0, 2);
    if (!all.empty()) all += "; ";
    all += message;
  }
  return all;
}

FileDescriptor openContext(const std::string& type) {
  FileDescriptor context(static_cast<int>(syscall(SYS_FSOPEN, type.c_str(), FSOPEN_CLOSE_ON_EXEC)));
  if (!context) throw SystemCallError(errno, "fsopen", type);
  return context;
}

void configure(int context, const MountSetting& setting) {
  const char* key = setting.key.c_str();
  const auto* text = std::get_if<std::string>(&setting.value);
  const auto* fd = std::get_if<int>(&setting.value);
  long result = 0;
  if (text != nullptr) result = syscall(SYS_FSCONFIG, context, CONFIG_SET_STRING, key, text->c_str(), 0);
  else if (fd != nullptr) result = syscall(SYS_FSCONFIG, context, CONFIG_SET_FD, key, nullptr, *fd);
  else result = syscall(SYS_FSCONFIG, context, CONFIG_SET_FLAG, key, nullptr, 0);
  if (result == 0) return;
  const int error = errno;
  std::string detail = kernelMessages(context);
  if (detail.empty()) detail = setting.key;
  if (text != nullptr && text->size() > CONFIG_VALUE_MAX) {
    detail = setting.key + " has more than " + std::to_string(CONFIG_VALUE_MAX) + " bytes";
  }
  throw SystemCallError(error, "fsconfig", detail);
}

void mountIn(const std::string& folder, const MountOptions& options) {
  if (unshare(CLONE_FS) != 0) throw SystemCallError(errno, "unshare");
  if (chdir(folder.c_str()) != 0) throw SystemCallError(errno, "chdir", folder);
  mountOld(options);
}

}  // namespace

FileDescriptor makeMount(const std::string& type, const std::vector<MountSetting>& settings, uint32_t attributes) {
  const FileDescriptor context = openContext(type);
  for (const MountSetting& setting : settings) configure(context.get(), setting);
  if (syscall(SYS_FSCONFIG, context.get(), CONFIG_CREATE, nullptr, nullptr, 0) != 0) {
    const int error = errno;
    throw SystemCallError(error, "fsconfig", kernelMessages(context.get()));
  }
  FileDescriptor made(static_cast<int>(syscall(SYS_FSMOUNT, context.get(), FSMOUNT_CLOSE_ON_EXEC, attributes)));
  if (!made) {
    const int error = errno;
    throw SystemCallError(error, "fsmount", kernelMessages(context.get()));
  }
  return made;
}

void trySetting(const std::string& type, const MountSetting& setting) {
  configure(openContext(type).get(), setting);
}

FileDescriptor cloneMount(const std::string& path, bool isRecursive) {
  const unsigned flags = OPEN_TREE_COPY | O_CLOEXEC | (isRecursive ? WHOLE_TREE : 0);
  FileDescriptor copy(static_cast<int>(syscall(SYS_OPEN_TREE, AT_FDCWD, path.c_str(), flags)));
  if (!copy) throw SystemCallError(errno, "open_tree", path);
  return copy;
}

void setMountAttributes(int mount, const MountAttributes& attributes) {
  // Times of access are one choice out of several: it is taken back before it is made.
  const uint64_t clear = (attributes.set & ACCESS_TIMES) != 0 ? ACCESS_TIMES : 0;
  RawAttributes raw{attributes.set, clear, 0, 0};
  if (attributes.userNamespace >= 0) raw.userNamespace = static_cast<uint64_t>(attributes.userNamespace);
  const unsigned flags = AT_EMPTY_PATH | (attributes.isRecursive ? WHOLE_TREE : 0);
  if (syscall(SYS_MOUNT_SETATTR, mount, "", flags, &raw, sizeof raw) != 0) throw SystemCallError(errno, "mount_setattr");
}

void attachMount(int mount, const std::string& target) {
  const long moved = syscall(SYS_MOVE_MOUNT, mount, "", AT_FDCWD, target.c_str(), MOVE_FROM_EMPTY_PATH);
  if (moved != 0) throw SystemCallError(errno, "move_mount", target);
}

void mountFrom(const std::string& folder, const MountOptions& options) {
  // A thread for this one call: what it changes of itself may not show in calls after it.
  std::exception_ptr failure;
  std::thread([&] {
    try {
      mountIn(folder, options);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

FileDescriptor openPlace(const std::string& path) {
  FileDescriptor place(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) throw SystemCallError(errno, "open", path);
  return place;
}

std::string resolveInRoot(const std::string& root, const std::string& inside) {
  const FileDescriptor top = openPlace(root);
  const FileDescriptor found = openBeneath({top.get(), inside, O_PATH, 0, IN_ROOT | NO_MAGIC_LINKS});
  const std::string link = "/proc/self/fd/" + std::to_string(found.get());
  std::array<char, PATH_MAX> path;
  const ssize_t length = readlink(link.c_str(), path.data(), path.size());
  if (length < 0) throw SystemCallError(errno, "readlink", link);
  return std::string(path.data(), static_cast<size_t>(length));
}

}  // namespace lazuli
