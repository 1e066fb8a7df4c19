// System calls that Node does not offer. Nothing of N-API here: results are 0 or a descriptor, failures an errno.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lazuli {

/// What a failed call leaves: its errno, its name, and what the kernel said where it says more.
struct SyscallFailure {
  int error = 0;
  const char* call = "";
  std::string detail;
  explicit operator bool() const { return error != 0; }
};

struct MountOption {
  std::string key;
  std::string value;
  bool isFlag = false;
};

struct ReceivedMessage {
  std::vector<uint8_t> data;
  std::vector<int> fds;
};

constexpr size_t FDS_MAX = 250;  // SCM_MAX_FD is 253 in the kernel.

SyscallFailure mountClassic(const std::string& source, const std::string& target, const std::string& type,
                            unsigned long flags, const std::string& data);
SyscallFailure mountNew(const std::string& type, const std::vector<MountOption>& options, unsigned attributes,
                        const std::string& target);
SyscallFailure unmount(const std::string& target, int flags);
SyscallFailure openFuse(int* fd);
SyscallFailure openAt2(int directoryFd, const std::string& path, uint64_t flags, uint64_t mode, uint64_t resolve,
                       int* fd);
SyscallFailure syncFileSystem(int fd);
SyscallFailure sendDescriptors(int socketFd, const uint8_t* data, size_t size, const std::vector<int>& fds);
SyscallFailure receiveDescriptors(int socketFd, size_t dataMax, size_t fdsMax, ReceivedMessage* message);
SyscallFailure socketPair(int fds[2]);
/// One datagram to a Unix socket; a path that begins with "@" is abstract.
SyscallFailure sendDatagram(const std::string& path, const std::string& text);
int64_t realtimeNanoseconds();

}  // namespace lazuli
