#include "syscalls.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "fuse_session.h"
#include "mount_steps.h"

namespace lazuli {
namespace {

// Of the kernel, because the headers of older distributions lack it.
constexpr long SYS_OPENAT2 = 437;
/** A peer that does not read must not hold up the JS thread, which sends, for longer. */
constexpr int SEND_WAIT_MS = 5000;
constexpr size_t EXCHANGE_PIECE = 4096;

struct OpenHow {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};

void waitFor(int socket, short events, int timeoutMs, const char* call) {
  pollfd waiting{socket, events, 0};
  const int ready = poll(&waiting, 1, timeoutMs);
  if (ready < 0 && errno != EINTR) throw SystemCallError(errno, call);
  if (ready == 0) throw SystemCallError(ETIMEDOUT, call);
}

/** Takes over each descriptor of a message, so that none is lost when another is refused. */
void takeFds(msghdr& header, std::vector<FileDescriptor>& fds) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

void mountOld(const MountOptions& options) {
  const int result = mount(options.source.c_str(), options.target.c_str(), options.type.c_str(), options.flags,
                           options.data.empty() ? nullptr : options.data.c_str());
  if (result != 0) throw SystemCallError(errno, "mount");
}

void mountNew(const NewMountOptions& options) {
  std::vector<MountSetting> settings;
  for (const auto& [key, value] : options.options) {
    settings.push_back({key, value.has_value() ? MountValue(*value) : MountValue()});
  }
  attachMount(makeMount(options.type, settings, options.attributes).get(), options.target);
}

void unmount(const std::string& target, int flags) {
  if (umount2(target.c_str(), flags) != 0) throw SystemCallError(errno, "umount2");
}

FileDescriptor openFuse() {
  FileDescriptor fuse(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fuse) throw SystemCallError(errno, "open", "/dev/fuse");
  return fuse;
}

FileDescriptor openBeneath(const OpenOptions& options) {
  OpenHow how{options.flags | O_CLOEXEC, options.mode, options.resolve};
  FileDescriptor opened(
      static_cast<int>(syscall(SYS_OPENAT2, options.dirFd, options.path.c_str(), &how, sizeof how)));
  if (!opened) throw SystemCallError(errno, "openat2", options.path);
  return opened;
}

void syncFileSystem(int fd) {
  if (syncfs(fd) != 0) throw SystemCallError(errno, "syncfs");
}

void sendFds(int socket, std::span<const uint8_t> data, std::span<const int> fds) {
  // A stream carries descriptors with a byte: without one they would be dropped in silence.
  if (data.empty() || data.size() > MESSAGE_BYTES_MAX || fds.size() > FDS_MAX) throw SystemCallError(EINVAL, "sendmsg");
  alignas(cmsghdr) std::array<char, CMSG_SPACE(FDS_MAX * sizeof(int))> control{};
  size_t sent = 0;
  while (sent < data.size()) {
    iovec piece{const_cast<uint8_t*>(data.data()) + sent, data.size() - sent};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    // Descriptors go once, with the first bytes.
    if (sent == 0 && !fds.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
    }
    const ssize_t count = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) sent += static_cast<size_t>(count);
    else if (errno == EAGAIN) waitFor(socket, POLLOUT, SEND_WAIT_MS, "sendmsg");
    else if (errno != EINTR) throw SystemCallError(errno, "sendmsg");
  }
}

Message receiveFds(int socket, size_t dataMax, size_t fdsMax) {
  if (dataMax == 0 || dataMax > MESSAGE_BYTES_MAX || fdsMax > FDS_MAX) throw SystemCallError(EINVAL, "recvmsg");
  Message message;
  message.data.resize(dataMax);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(FDS_MAX * sizeof(int))> control{};
  iovec piece{message.data.data(), message.data.size()};
  msghdr header{};
  ssize_t count = -1;
  while (count < 0) {
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    count = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EAGAIN) waitFor(socket, POLLIN, -1, "recvmsg");
    else if (count < 0 && errno != EINTR) throw SystemCallError(errno, "recvmsg");
  }
  takeFds(header, message.fds);
  if ((header.msg_flags & MSG_CTRUNC) != 0 || message.fds.size() > fdsMax) throw SystemCallError(EMSGSIZE, "recvmsg");
  message.data.resize(static_cast<size_t>(count));
  return message;
}

namespace {

sockaddr_un unixAddress(const std::string& path, const char* call) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) throw SystemCallError(EINVAL, call, "the path is empty");
  if (path.size() >= sizeof address.sun_path) throw SystemCallError(ENAMETOOLONG, call, path);
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';
  return address;
}

FileDescriptor connectTo(const std::string& path, int type) {
  const sockaddr_un address = unixAddress(path, "connect");
  FileDescriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) throw SystemCallError(errno, "socket");
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    throw SystemCallError(errno, "connect", path);
  }
  return socket;
}

}  // namespace

void sendDatagram(const std::string& path, std::span<const uint8_t> data, std::span<const int> fds) {
  sendFds(connectTo(path, SOCK_DGRAM).get(), data, fds);
}

Message exchange(const std::string& path, std::span<const uint8_t> data, std::span<const int> fds, size_t fdsMax) {
  const FileDescriptor socket = connectTo(path, SOCK_STREAM);
  sendFds(socket.get(), data, fds);
  Message answer;
  for (;;) {
    waitFor(socket.get(), POLLIN, SEND_WAIT_MS, "recvmsg");
    Message piece = receiveFds(socket.get(), EXCHANGE_PIECE, FDS_MAX);
    if (piece.data.empty()) return answer;
    if (answer.data.size() + piece.data.size() > MESSAGE_BYTES_MAX || answer.fds.size() + piece.fds.size() > fdsMax) {
      throw SystemCallError(EMSGSIZE, "recvmsg", path);
    }
    answer.data.insert(answer.data.end(), piece.data.begin(), piece.data.end());
    for (FileDescriptor& fd : piece.fds) answer.fds.push_back(std::move(fd));
  }
}

bool askToResend(int fuseFd) {
  // The message itself is taken also when the connection has ended.
  pollfd state{fuseFd, POLLIN, 0};
  if (poll(&state, 1, 0) > 0 && (state.revents & POLLERR) != 0) throw SystemCallError(ENOTCONN, "poll");
  const int error = -FuseSession::askToResend(fuseFd);
  if (error == EINVAL) return false;
  if (error != 0) throw SystemCallError(error, "write");
  return true;
}

int64_t realtimeNanoseconds() {
  timespec now{};
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) throw SystemCallError(errno, "clock_gettime");
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

void closeOnExec() {
  // close_range(2) with CLOSE_RANGE_CLOEXEC would do, from Linux 5.11 on.
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename().string());
    if (fd <= STDERR_FILENO) continue;
    const int flags = fcntl(fd, F_GETFD);
    // One that is gone by now is inherited by nobody.
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
}

void makeFifo(const std::string& path, mode_t mode) {
  if (mkfifo(path.c_str(), mode) != 0) throw SystemCallError(errno, "mkfifo", path);
  if (chmod(path.c_str(), mode) != 0) throw SystemCallError(errno, "chmod", path);
}

std::pair<FileDescriptor, FileDescriptor> makeSocketPair() {
  std::array<int, 2> ends{-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw SystemCallError(errno, "socketpair");
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

}  // namespace lazuli
