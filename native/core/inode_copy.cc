#include "inode_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "syscalls.h"

namespace lazuli {
namespace {

/** Bytes of one call, so that it can be cancelled in between. */
constexpr uint64_t RANGE_BYTES = 16U << 20;
constexpr size_t BUFFER_BYTES = 1U << 17;
constexpr int CREATE_FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
constexpr mode_t PRIVATE_FILE = 0600;

void check(int result, const char* call, const char* name) {
  if (result != 0) throw SystemCallError(errno, call, name);
}

/** The calls for attributes, of an open file or of a path that is no link to be followed. */
struct Attributes {
  std::function<ssize_t(char*, size_t)> list;
  std::function<ssize_t(const char*, void*, size_t)> get;
  std::function<int(const char*, const void*, size_t)> set;
};

/** Calls again with the size that the answer needs, which may grow in between. */
std::vector<char> sized(const std::function<ssize_t(char*, size_t)>& call, const char* name) {
  std::vector<char> bytes(256);
  while (true) {
    ssize_t length = call(bytes.data(), bytes.size());
    if (length >= 0) {
      bytes.resize(static_cast<size_t>(length));
      return bytes;
    }
    if (errno != ERANGE) throw SystemCallError(errno, name);
    length = call(nullptr, 0);
    if (length < 0) throw SystemCallError(errno, name);
    bytes.resize(static_cast<size_t>(length) + 1);
  }
}

void copyAttributes(const Attributes& calls) {
  const std::vector<char> names = sized(calls.list, "listxattr");
  for (size_t start = 0; start < names.size();) {
    const std::string name(names.data() + start);
    start += name.size() + 1;
    const auto get = [&](char* bytes, size_t size) { return calls.get(name.c_str(), bytes, size); };
    const std::vector<char> value = sized(get, "getxattr");
    check(calls.set(name.c_str(), value.data(), value.size()), "setxattr", name.c_str());
  }
}

void copyAttributesOfFiles(int source, int target) {
  copyAttributes({
      [=](char* bytes, size_t size) { return flistxattr(source, bytes, size); },
      [=](const char* name, void* bytes, size_t size) { return fgetxattr(source, name, bytes, size); },
      [=](const char* name, const void* bytes, size_t size) { return fsetxattr(target, name, bytes, size, 0); },
  });
}

/** There is no call for an attribute of a name in an open folder: /proc gives the folder a path. */
void copyAttributesOfNames(const NamePair& pair) {
  const std::string source = "/proc/self/fd/" + std::to_string(pair.source) + "/" + pair.name;
  const std::string target = "/proc/self/fd/" + std::to_string(pair.target) + "/" + pair.name;
  copyAttributes({
      [&](char* bytes, size_t size) { return llistxattr(source.c_str(), bytes, size); },
      [&](const char* name, void* bytes, size_t size) { return lgetxattr(source.c_str(), name, bytes, size); },
      [&](const char* name, const void* bytes, size_t size) {
        return lsetxattr(target.c_str(), name, bytes, size, 0);
      },
  });
}

/** The order matters: a new owner takes away set-uid bits and capabilities, and all that is done sets times. */
void copyFacts(int source, int target, const struct stat& facts, const char* name) {
  check(fchown(target, facts.st_uid, facts.st_gid), "fchown", name);
  check(fchmod(target, facts.st_mode & 07777), "fchmod", name);
  copyAttributesOfFiles(source, target);
  const std::array<timespec, 2> times{facts.st_atim, facts.st_mtim};
  check(futimens(target, times.data()), "futimens", name);
}

/** The file system or the kernel has no such call for these files. */
bool isUnsupported(int error) {
  return error == EOPNOTSUPP || error == ENOTTY || error == EXDEV || error == EINVAL || error == ENOSYS;
}

}  // namespace

void InodeCopy::copyFile(const NamePair& pair, const struct stat& facts) {
  const FileDescriptor source(openat(pair.source, pair.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME));
  if (!source) throw SystemCallError(errno, "openat", pair.name);
  const FileDescriptor target(openat(pair.target, pair.name, CREATE_FLAGS, PRIVATE_FILE));
  if (!target) throw SystemCallError(errno, "openat", pair.name);
  copyContent(source.get(), target.get(), static_cast<uint64_t>(facts.st_size));
  copyFacts(source.get(), target.get(), facts, pair.name);
}

void InodeCopy::copySpecial(const NamePair& pair, const struct stat& facts) {
  if (S_ISLNK(facts.st_mode)) {
    std::array<char, PATH_MAX> text;
    const ssize_t length = readlinkat(pair.source, pair.name, text.data(), text.size());
    if (length < 0) throw SystemCallError(errno, "readlinkat", pair.name);
    const std::string path(text.data(), static_cast<size_t>(length));
    check(symlinkat(path.c_str(), pair.target, pair.name), "symlinkat", pair.name);
  } else {
    const mode_t mode = (facts.st_mode & S_IFMT) | PRIVATE_FILE;
    check(mknodat(pair.target, pair.name, mode, facts.st_rdev), "mknodat", pair.name);
  }
  const int flags = AT_SYMLINK_NOFOLLOW;
  check(fchownat(pair.target, pair.name, facts.st_uid, facts.st_gid, flags), "fchownat", pair.name);
  // A link has no mode of its own.
  if (!S_ISLNK(facts.st_mode)) {
    check(fchmodat(pair.target, pair.name, facts.st_mode & 07777, 0), "fchmodat", pair.name);
  }
  copyAttributesOfNames(pair);
  const std::array<timespec, 2> times{facts.st_atim, facts.st_mtim};
  check(utimensat(pair.target, pair.name, times.data(), flags), "utimensat", pair.name);
}

void InodeCopy::copyFolderFacts(int source, int target) {
  struct stat facts;
  check(fstat(source, &facts), "fstat", "");
  copyFacts(source, target, facts, "");
}

void InodeCopy::copyContent(int source, int target, uint64_t sizeBytes) {
  if (sizeBytes == 0) return;
  if (canClone_) {
    if (ioctl(target, FICLONE, source) == 0) return;
    if (!isUnsupported(errno)) throw SystemCallError(errno, "ficlone");
    canClone_ = false;
  }
  uint64_t end = 0;
  while (end < sizeBytes) {
    const off_t data = lseek(source, static_cast<off_t>(end), SEEK_DATA);
    // Nothing but a hole is left.
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) throw SystemCallError(errno, "lseek");
    const off_t hole = lseek(source, data, SEEK_HOLE);
    if (hole < 0) throw SystemCallError(errno, "lseek");
    end = std::min(static_cast<uint64_t>(hole), sizeBytes);
    copyRange(source, target, static_cast<uint64_t>(data), end);
  }
  check(ftruncate(target, static_cast<off_t>(sizeBytes)), "ftruncate", "");
}

void InodeCopy::copyRange(int source, int target, uint64_t start, uint64_t end) {
  auto from = static_cast<off64_t>(start);
  auto to = from;
  while (static_cast<uint64_t>(from) < end) {
    throwIfCancelled(isCancelled_);
    const uint64_t left = end - static_cast<uint64_t>(from);
    if (!canCopyRange_) return writeRange(source, target, static_cast<uint64_t>(from), end);
    const ssize_t count = copy_file_range(source, &from, target, &to, std::min(left, RANGE_BYTES), 0);
    // Some file systems end early without a word where they can't.
    if (count == 0 || (count < 0 && isUnsupported(errno))) canCopyRange_ = false;
    else if (count < 0 && errno != EINTR) throw SystemCallError(errno, "copy_file_range");
  }
}

void InodeCopy::writeRange(int source, int target, uint64_t start, uint64_t end) {
  std::vector<char> bytes(BUFFER_BYTES);
  while (start < end) {
    throwIfCancelled(isCancelled_);
    const size_t wanted = std::min<uint64_t>(end - start, bytes.size());
    const ssize_t count = pread(source, bytes.data(), wanted, static_cast<off_t>(start));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemCallError(errno, "pread");
    if (count == 0) throw SystemCallError(EIO, "pread", "the file became shorter while it was copied");
    for (ssize_t done = 0; done < count;) {
      const off_t place = static_cast<off_t>(start) + done;
      const ssize_t written = pwrite(target, bytes.data() + done, static_cast<size_t>(count - done), place);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw SystemCallError(errno, "pwrite");
      done += written;
    }
    start += static_cast<uint64_t>(count);
  }
}

}  // namespace lazuli
