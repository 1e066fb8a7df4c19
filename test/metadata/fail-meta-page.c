/* Preloaded: while the file that FAULT_FILE names exists, writes through descriptors with O_DSYNC fail with EIO.
 * LMDB writes nothing but its meta pages that way. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
  ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
  const char *path = getenv("FAULT_FILE");
  if (path != NULL && access(path, F_OK) == 0 && (fcntl(fd, F_GETFL) & O_DSYNC) != 0) {
    errno = EIO;
    return -1;
  }
  return next(fd, bytes, size, offset);
}
