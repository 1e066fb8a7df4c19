#include "fuse_session.h"

#include <unistd.h>

#include <cerrno>

#include "fuse_protocol.h"

namespace lazuli {
namespace {

/**
 * Errors are of no use here: ENOENT means that the reader is gone, ENODEV that the mount is, and for any other the
 * kernel has ended the request itself.
 */
void send(int fd, const fuse::OutHeader& header, std::span<const uint8_t> bytes) {
  iovec parts[2] = {
      {const_cast<fuse::OutHeader*>(&header), sizeof header},
      {const_cast<uint8_t*>(bytes.data()), bytes.size()},
  };
  while (writev(fd, parts, bytes.empty() ? 1 : 2) < 0 && errno == EINTR) {
  }
}

}  // namespace

void FuseSession::replyError(uint64_t unique, int error) const {
  const fuse::OutHeader header{sizeof header, -error, unique};
  send(fd_.get(), header, {});
}

void FuseSession::reply(uint64_t unique, std::span<const uint8_t> bytes) const {
  const fuse::OutHeader header{static_cast<uint32_t>(sizeof header + bytes.size()), 0, unique};
  send(fd_.get(), header, bytes);
}

int FuseSession::askToResend(int fd) {
  const fuse::OutHeader header{sizeof header, fuse::NOTIFY_RESEND, 0};
  return write(fd, &header, sizeof header) < 0 ? -errno : 0;
}

}  // namespace lazuli
