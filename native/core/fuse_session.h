#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "file_descriptor.h"
#include "file_system.h"

namespace lazuli {

/** One FUSE connection: its descriptor and what it serves. The descriptor closes with the last request in hand. */
class FuseSession {
 public:
  FuseSession(uint32_t id, FileDescriptor fd, std::unique_ptr<FileSystem> files)
      : id_(id), fd_(std::move(fd)), files_(std::move(files)) {}

  uint32_t id() const { return id_; }
  int fd() const { return fd_.get(); }
  const FileSystem& files() const { return *files_; }

  /** Each request is answered exactly once. A request that the kernel has forgotten meanwhile is no error. */
  void replyError(uint64_t unique, int error) const;
  void reply(uint64_t unique, std::span<const uint8_t> bytes) const;

  template <typename T>
  void replyWith(uint64_t unique, const T& body) const {
    reply(unique, {reinterpret_cast<const uint8_t*>(&body), sizeof body});
  }

  /** Asks the kernel to send again what an earlier process read but did not answer (6.9+). Returns 0 or -errno. */
  static int askToResend(int fd);

 private:
  const uint32_t id_;
  const FileDescriptor fd_;
  const std::unique_ptr<FileSystem> files_;
};

}  // namespace lazuli
