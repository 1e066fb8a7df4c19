#include "folder_walk.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <utility>

#include "syscalls.h"

namespace lazuli {
namespace {

// RESOLVE_* of openat2(2), which the headers of older distributions lack.
constexpr uint64_t NO_MOUNTS = 0x01;
constexpr uint64_t NO_LINKS = 0x04;
constexpr uint64_t BENEATH = 0x08;

FileDescriptor openBelow(int folder, const std::string& path) {
  return openBeneath({folder, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0, NO_MOUNTS | NO_LINKS | BENEATH});
}

}  // namespace

void throwIfCancelled(const CancelFlag& isCancelled) {
  if (isCancelled.load(std::memory_order_relaxed)) throw SystemCallError(ECANCELED, "walk");
}

Tree::Tree(const std::string& root) : root_(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
  if (!root_) throw SystemCallError(errno, "open", root);
}

FileDescriptor Tree::openFolder(const std::string& path) const {
  if (path.empty()) return openBelow(root_.get(), ".");
  FileDescriptor folder;
  size_t start = 0;
  while (path.size() - start >= PATH_MAX) {
    // A name has 255 bytes at most, so that a slash is found.
    const size_t end = path.rfind('/', start + PATH_MAX - 1);
    folder = openBelow(folder ? folder.get() : root_.get(), path.substr(start, end - start));
    start = end + 1;
  }
  return openBelow(folder ? folder.get() : root_.get(), path.substr(start));
}

FolderNames::FolderNames(FileDescriptor folder) : stream_(fdopendir(folder.get())) {
  if (!stream_) throw SystemCallError(errno, "fdopendir");
  folder.release();
}

const char* FolderNames::next() {
  while (true) {
    errno = 0;
    const dirent* entry = readdir(stream_.get());
    if (entry == nullptr) {
      if (errno != 0) throw SystemCallError(errno, "readdir");
      return nullptr;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry->d_name;
  }
}

std::string joined(const std::string& path, const char* name) {
  return path.empty() ? std::string(name) : path + "/" + name;
}

bool isPassingError(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESTALE;
}

}  // namespace lazuli
