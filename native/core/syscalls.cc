#include "syscalls.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "file_descriptor.h"

namespace lazuli {

namespace {

// linux/mount.h and glibc's sys/mount.h cannot be included together on older systems; the numbers are the kernel's.
constexpr unsigned kFsconfigSetFlag = 0;
constexpr unsigned kFsconfigSetString = 1;
constexpr unsigned kFsconfigCmdCreate = 6;
constexpr unsigned kFsopenCloexec = 1;
constexpr unsigned kFsmountCloexec = 1;
constexpr unsigned kMoveMountFromEmptyPath = 4;
constexpr size_t kKernelMessageMax = 1024;

SyscallFailure failure(const char* call) { return SyscallFailure{errno, call, {}}; }

// The kernel explains a refused option on the descriptor of the file system context.
SyscallFailure contextFailure(const char* call, int contextFd) {
  SyscallFailure result = failure(call);
  char message[kKernelMessageMax];
  const ssize_t got = read(contextFd, message, sizeof message);
  if (got > 0) result.detail.assign(message, static_cast<size_t>(got));
  return result;
}

}  // namespace

SyscallFailure mountClassic(const std::string& source, const std::string& target, const std::string& type,
                            unsigned long flags, const std::string& data) {
  if (::mount(source.c_str(), target.c_str(), type.c_str(), flags, data.c_str()) != 0) return failure("mount");
  return {};
}

SyscallFailure mountNew(const std::string& type, const std::vector<MountOption>& options, unsigned attributes,
                        const std::string& target) {
  FileDescriptor context(static_cast<int>(syscall(SYS_fsopen, type.c_str(), kFsopenCloexec)));
  if (context.get() < 0) return failure("fsopen");
  for (const MountOption& option : options) {
    const unsigned command = option.isFlag ? kFsconfigSetFlag : kFsconfigSetString;
    const char* value = option.isFlag ? nullptr : option.value.c_str();
    if (syscall(SYS_fsconfig, context.get(), command, option.key.c_str(), value, 0) != 0) {
      return contextFailure("fsconfig", context.get());
    }
  }
  if (syscall(SYS_fsconfig, context.get(), kFsconfigCmdCreate, nullptr, nullptr, 0) != 0) {
    return contextFailure("fsconfig", context.get());
  }
  FileDescriptor mounted(static_cast<int>(syscall(SYS_fsmount, context.get(), kFsmountCloexec, attributes)));
  if (mounted.get() < 0) return contextFailure("fsmount", context.get());
  if (syscall(SYS_move_mount, mounted.get(), "", AT_FDCWD, target.c_str(), kMoveMountFromEmptyPath) != 0) {
    return failure("move_mount");
  }
  return {};
}

SyscallFailure unmount(const std::string& target, int flags) {
  if (umount2(target.c_str(), flags) != 0) return failure("umount2");
  return {};
}

SyscallFailure openFuse(int* fd) {
  *fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  return *fd < 0 ? failure("open") : SyscallFailure{};
}

SyscallFailure openAt2(int directoryFd, const std::string& path, uint64_t flags, uint64_t mode, uint64_t resolve,
                       int* fd) {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  *fd = static_cast<int>(syscall(SYS_openat2, directoryFd, path.c_str(), &how, sizeof how));
  return *fd < 0 ? failure("openat2") : SyscallFailure{};
}

SyscallFailure syncFileSystem(int fd) {
  if (syncfs(fd) != 0) return failure("syncfs");
  return {};
}

SyscallFailure sendDescriptors(int socketFd, const uint8_t* data, size_t size, const std::vector<int>& fds) {
  if (size == 0 || fds.size() > FDS_MAX) return SyscallFailure{EINVAL, "sendmsg", {}};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  struct iovec part = {const_cast<uint8_t*>(data), size};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(socketFd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return failure("sendmsg");
  // Descriptors travel with the first byte, so the rest can follow on its own.
  for (size_t done = static_cast<size_t>(sent); done < size;) {
    const ssize_t more = send(socketFd, data + done, size - done, MSG_NOSIGNAL);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return failure("send");
    done += static_cast<size_t>(more);
  }
  return {};
}

SyscallFailure receiveDescriptors(int socketFd, size_t dataMax, size_t fdsMax, ReceivedMessage* message) {
  if (dataMax == 0 || fdsMax > FDS_MAX) return SyscallFailure{EINVAL, "recvmsg", {}};
  message->data.resize(dataMax);
  std::vector<char> control(CMSG_SPACE(fdsMax * sizeof(int)));
  struct iovec part = {message->data.data(), dataMax};
  struct msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got;
  do {
    got = recvmsg(socketFd, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return failure("recvmsg");
  message->data.resize(static_cast<size_t>(got));
  for (struct cmsghdr* part_header = CMSG_FIRSTHDR(&header); part_header != nullptr;
       part_header = CMSG_NXTHDR(&header, part_header)) {
    if (part_header->cmsg_level != SOL_SOCKET || part_header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part_header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const size_t before = message->fds.size();
    message->fds.resize(before + count);
    memcpy(message->fds.data() + before, CMSG_DATA(part_header), count * sizeof(int));
  }
  if ((header.msg_flags & MSG_CTRUNC) == 0) return {};
  for (const int fd : message->fds) close(fd);
  message->fds.clear();
  return SyscallFailure{EMSGSIZE, "recvmsg", {}};
}

SyscallFailure socketPair(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return failure("socketpair");
  return {};
}

SyscallFailure sendDatagram(const std::string& path, const std::string& text) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return SyscallFailure{ENAMETOOLONG, "sendto", {}};
  memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return failure("socket");
  const auto size = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + path.size());
  const auto* to = reinterpret_cast<const struct sockaddr*>(&address);
  if (sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL, to, size) < 0) return failure("sendto");
  return {};
}

int64_t realtimeNanoseconds() {
  struct timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

}  // namespace lazuli
