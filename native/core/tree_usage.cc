#include "tree_usage.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "syscalls.h"

namespace lazuli {
namespace {

/** st_blocks counts in these units, whatever the file system's block is (stat(2)). */
constexpr uint64_t BLOCK_BYTES = 512;
constexpr size_t COMPARED_BYTES = 65536;
/** A file capability has 24 bytes at most (linux/capability.h). */
constexpr size_t CAPABILITY_BYTES_MAX = 64;
constexpr const char* CAPABILITY = "security.capability";

/** Adds up inodes; only those with several names are remembered. */
class Counter {
 public:
  void add(const struct stat& facts) {
    if (facts.st_nlink > 1 && !S_ISDIR(facts.st_mode) && !linked_.insert(InodeKey(facts)).second) return;
    usage_.sizeBytes += static_cast<uint64_t>(facts.st_blocks) * BLOCK_BYTES;
    usage_.inodes++;
  }

  const TreeUsage& usage() const { return usage_; }

 private:
  TreeUsage usage_;
  std::unordered_set<InodeKey, InodeKeyHash> linked_;
};

/** False where the name is gone. */
bool readFacts(int folder, const char* name, struct stat& facts) {
  if (fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (isPassingError(errno)) return false;
  throw SystemCallError(errno, "fstatat", name);
}

std::optional<FolderNames> openNames(const Tree& tree, const std::string& path) {
  try {
    return FolderNames(tree.openFolder(path));
  } catch (const SystemCallError& failed) {
    if (isPassingError(failed.code().value())) return std::nullopt;
    throw;
  }
}

FileDescriptor openFile(int folder, const char* name) {
  return FileDescriptor(openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
}

/** There is no call for an attribute of a name in an open folder: /proc gives the folder a path. */
std::string capability(int folder, const char* name) {
  const std::string path = "/proc/self/fd/" + std::to_string(folder) + "/" + name;
  std::array<char, CAPABILITY_BYTES_MAX> value;
  const ssize_t length = lgetxattr(path.c_str(), CAPABILITY, value.data(), value.size());
  return length > 0 ? std::string(value.data(), static_cast<size_t>(length)) : std::string();
}

std::string linkTarget(int folder, const char* name) {
  std::array<char, PATH_MAX> target;
  const ssize_t length = readlinkat(folder, name, target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<size_t>(length)) : std::string();
}

ssize_t readFully(int fd, char* bytes, size_t length) {
  size_t done = 0;
  while (done < length) {
    const ssize_t count = read(fd, bytes + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return static_cast<ssize_t>(done);
}

bool isSameContent(const FileDescriptor& left, const FileDescriptor& right, const CancelFlag& isCancelled) {
  if (!left || !right) return false;
  std::vector<char> leftBytes(COMPARED_BYTES);
  std::vector<char> rightBytes(COMPARED_BYTES);
  while (true) {
    throwIfCancelled(isCancelled);
    const ssize_t count = readFully(left.get(), leftBytes.data(), COMPARED_BYTES);
    if (count < 0 || readFully(right.get(), rightBytes.data(), COMPARED_BYTES) != count) return false;
    if (std::memcmp(leftBytes.data(), rightBytes.data(), static_cast<size_t>(count)) != 0) return false;
    if (static_cast<size_t>(count) < COMPARED_BYTES) return true;
  }
}

bool isSameTime(const timespec& left, const timespec& right) {
  return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

/** One name in the folders of both trees. */
struct Pair {
  int lowerFolder;
  int upperFolder;
  const char* name;
  const struct stat& lower;
  const struct stat& upper;
};

bool isSame(const Pair& pair, const CancelFlag& isCancelled) {
  const auto& [lowerFolder, upperFolder, name, lower, upper] = pair;
  // Nobody can set the time of an inode's change, and a snapshot keeps inode numbers: this spares reading both files.
  if (lower.st_ino == upper.st_ino && isSameTime(lower.st_ctim, upper.st_ctim) && lower.st_size == upper.st_size) {
    return true;
  }
  if (lower.st_mode != upper.st_mode || lower.st_uid != upper.st_uid || lower.st_gid != upper.st_gid) return false;
  if (lower.st_rdev != upper.st_rdev) return false;
  if (capability(lowerFolder, name) != capability(upperFolder, name)) return false;
  if (S_ISDIR(upper.st_mode)) return true;
  if (lower.st_size != upper.st_size || !isSameTime(lower.st_mtim, upper.st_mtim)) return false;
  // Archives cut times to seconds: then the same time says little.
  if (upper.st_mtim.tv_nsec != 0) return true;
  if (S_ISLNK(upper.st_mode)) return linkTarget(lowerFolder, name) == linkTarget(upperFolder, name);
  if (!S_ISREG(upper.st_mode) || upper.st_size == 0) return true;
  return isSameContent(openFile(lowerFolder, name), openFile(upperFolder, name), isCancelled);
}

/** A folder of the upper tree, and whether the lower one has a folder there. */
struct Pending {
  std::string path;
  bool isInLower;
};

}  // namespace

TreeUsage treeUsage(const std::string& root, const CancelFlag& isCancelled) {
  const Tree tree(root);
  Counter counter;
  struct stat facts;
  if (fstat(tree.openFolder("").get(), &facts) != 0) throw SystemCallError(errno, "fstat", root);
  counter.add(facts);
  std::vector<std::string> folders{""};
  while (!folders.empty()) {
    const std::string path = std::move(folders.back());
    folders.pop_back();
    auto names = openNames(tree, path);
    if (!names) continue;
    for (const char* name = names->next(); name != nullptr; name = names->next()) {
      throwIfCancelled(isCancelled);
      if (!readFacts(names->fd(), name, facts)) continue;
      counter.add(facts);
      if (S_ISDIR(facts.st_mode)) folders.push_back(joined(path, name));
    }
  }
  return counter.usage();
}

TreeUsage treeDifference(const std::string& lower, const std::string& upper, const CancelFlag& isCancelled) {
  const Tree lowerTree(lower);
  const Tree upperTree(upper);
  Counter counter;
  std::vector<Pending> folders{{"", true}};
  while (!folders.empty()) {
    const Pending folder = std::move(folders.back());
    folders.pop_back();
    auto names = openNames(upperTree, folder.path);
    if (!names) continue;
    const FileDescriptor lowerFolder = folder.isInLower ? lowerTree.openFolder(folder.path) : FileDescriptor();
    for (const char* name = names->next(); name != nullptr; name = names->next()) {
      throwIfCancelled(isCancelled);
      struct stat upperFacts;
      struct stat lowerFacts;
      if (!readFacts(names->fd(), name, upperFacts)) continue;
      const bool isInLower = lowerFolder && readFacts(lowerFolder.get(), name, lowerFacts);
      const bool isUnchanged =
          isInLower && isSame({lowerFolder.get(), names->fd(), name, lowerFacts, upperFacts}, isCancelled);
      if (!isUnchanged) counter.add(upperFacts);
      if (!S_ISDIR(upperFacts.st_mode)) continue;
      folders.push_back({joined(folder.path, name), isInLower && S_ISDIR(lowerFacts.st_mode)});
    }
  }
  return counter.usage();
}

}  // namespace lazuli
