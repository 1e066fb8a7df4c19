#include "rooted_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "file_descriptor.h"
#include "syscalls.h"

namespace lazuli {
namespace {

bool isMissing(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENXIO;
}

}  // namespace

std::optional<std::vector<uint8_t>> readRootedFile(const std::string& root, const std::string& path, size_t bytesMax) {
  const FileDescriptor top(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!top) throw SystemCallError(errno, "open", root);
  FileDescriptor file;
  try {
    // A FIFO must not make us wait, nor a device be touched by more than this.
    file = openBeneath({top.get(), path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS});
  } catch (const SystemCallError& error) {
    if (isMissing(error.code().value())) return std::nullopt;
    throw;
  }
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0) throw SystemCallError(errno, "fstat", path);
  if (!S_ISREG(facts.st_mode) || facts.st_size < 0 || static_cast<uint64_t>(facts.st_size) > bytesMax) {
    return std::nullopt;
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(facts.st_size));
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemCallError(errno, "read", path);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace lazuli
