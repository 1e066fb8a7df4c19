#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "file_descriptor.h"

namespace lazuli {

/** A system call failed. `detail` is what the kernel or we know beyond the errno; it may be empty. */
class SystemCallError : public std::system_error {
 public:
  SystemCallError(int error, const char* call, std::string detail = "")
      : std::system_error(error, std::generic_category(), call), call_(call), detail_(std::move(detail)) {}

  const char* call() const { return call_; }
  const std::string& detail() const { return detail_; }

 private:
  const char* call_;
  std::string detail_;
};

/** Descriptors that one message can carry (SCM_MAX_FD). */
inline constexpr size_t FDS_MAX = 253;
/** Bytes of one message with descriptors. */
inline constexpr size_t MESSAGE_BYTES_MAX = 1U << 20;

struct MountOptions {
  std::string source;
  std::string target;
  std::string type;
  /** MS_*. */
  uint64_t flags = 0;
  std::string data;
};

struct NewMountOptions {
  std::string type;
  /** Without a value: a flag. */
  std::vector<std::pair<std::string, std::optional<std::string>>> options;
  /** MOUNT_ATTR_*. */
  uint32_t attributes = 0;
  std::string target;
};

struct OpenOptions {
  int dirFd = -1;
  std::string path;
  uint64_t flags = 0;
  uint64_t mode = 0;
  /** RESOLVE_*. */
  uint64_t resolve = 0;
};

struct Message {
  /** Empty at the end of the stream. */
  std::vector<uint8_t> data;
  std::vector<FileDescriptor> fds;
};

// All of them throw SystemCallError.

void mountOld(const MountOptions& options);
/** The mount API with a descriptor for each step: no limit of a page for all options together. */
void mountNew(const NewMountOptions& options);
void unmount(const std::string& target, int flags);
FileDescriptor openFuse();
FileDescriptor openBeneath(const OpenOptions& options);
void syncFileSystem(int fd);
/** Waits up to 5 s for a peer that does not read, then ETIMEDOUT. */
void sendFds(int socket, std::span<const uint8_t> data, std::span<const int> fds);
/** Waits for a message. EMSGSIZE, and none is kept, where more than `fdsMax` descriptors came. */
Message receiveFds(int socket, size_t dataMax, size_t fdsMax);
/** To a Unix socket; a path that begins with "@" is in the abstract space. */
void sendDatagram(const std::string& path, std::span<const uint8_t> data, std::span<const int> fds);
/**
 * One request to a Unix stream socket and its whole answer, up to the end of the stream: at most `fdsMax` descriptors and
 * MESSAGE_BYTES_MAX bytes, else EMSGSIZE. ETIMEDOUT where 5 s pass without a byte.
 */
Message exchange(const std::string& path, std::span<const uint8_t> data, std::span<const int> fds, size_t fdsMax);
/** Asks the kernel to send again what was read from an open /dev/fuse and not answered. False before Linux 6.9. */
bool askToResend(int fuseFd);
int64_t realtimeNanoseconds();
/** With exactly this mode, whatever the umask is. */
void makeFifo(const std::string& path, mode_t mode);
std::pair<FileDescriptor, FileDescriptor> makeSocketPair();
/** Keeps every descriptor above stderr from the programs that this process starts. */
void closeOnExec();

}  // namespace lazuli
