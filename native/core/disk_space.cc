#include "disk_space.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace lazuli {

uint64_t bytesOnDisk(int fd) {
  struct stat facts{};
  if (fstat(fd, &facts) != 0) throw std::system_error(errno, std::generic_category(), "fstat");
  // st_blocks counts 512 bytes, whatever the file system's block is.
  return static_cast<uint64_t>(facts.st_blocks) * 512;
}

int punchHole(int fd, uint64_t from, uint64_t to) {
  for (;;) {
    const int result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                                 static_cast<off_t>(to - from));
    if (result == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

bool isOpenElsewhere(int fd) {
  // Who opens the file while the lease stands breaks it with a signal: one that is ignored unless somebody wants it.
  if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return true;
  fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace lazuli
