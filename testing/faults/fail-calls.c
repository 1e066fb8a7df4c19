/*
 * Preloaded into a process under test: lets calls on files below one folder fail as a full or broken disk would.
 * Five 32-bit numbers in a mapped file steer it, so that the process itself can switch it at run time:
 * kinds of calls (bits), which call fails first (from 1; 0: none), its errno, calls seen, calls that failed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KIND_WRITE = 1, KIND_SYNC = 2, KIND_OPEN = 4, KIND_RENAME = 8, KIND_MKDIR = 16, KIND_LINK = 32 };
enum { CONTROL_BYTES = 4096 };

struct control {
  int32_t kinds;
  int32_t first;
  int32_t error;
  int32_t seen;
  int32_t failed;
};

static volatile struct control *control;
static char folder[PATH_MAX];
static size_t folder_length;
static const char *except;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void start(void) {
  const char *file = getenv("FAULT_CONTROL");
  const char *below = getenv("FAULT_FOLDER");
  if (file == NULL || below == NULL || realpath(below, folder) == NULL) return;
  folder_length = strlen(folder);
  except = getenv("FAULT_EXCEPT");
  int (*real_open)(const char *, int, ...) = real("open");
  int fd = real_open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) control = map;
}

static int is_below(const char *path) {
  if (except != NULL && except[0] != '\0' && strstr(path, except) != NULL) return 0;
  return strncmp(path, folder, folder_length) == 0 &&
         (path[folder_length] == '/' || path[folder_length] == '\0');
}

static int is_fd_below(int fd) {
  char name[64];
  char path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return is_below(path);
}

static int is_path_below(int at, const char *path) {
  if (path == NULL) return 0;
  if (path[0] == '/') return is_below(path);
  if (at != AT_FDCWD) return is_fd_below(at);
  char here[PATH_MAX];
  return getcwd(here, sizeof here) != NULL && is_below(here);
}

static int counts(int kind) {
  return control != NULL && (control->kinds & kind) != 0 && control->first > 0;
}

/* True: the call must fail, and errno says how. */
static int fails(void) {
  int32_t number = __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
  if (number != control->first) return 0;
  __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
  errno = control->error;
  return 1;
}

#define ON_FD(kind, fd) \
  if (counts(kind) && is_fd_below(fd) && fails()) return -1
#define ON_PATH(kind, at, path) \
  if (counts(kind) && is_path_below(at, path) && fails()) return -1

ssize_t write(int fd, const void *bytes, size_t size) {
  ON_FD(KIND_WRITE, fd);
  return ((ssize_t(*)(int, const void *, size_t))real("write"))(fd, bytes, size);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  ON_FD(KIND_WRITE, fd);
  return ((ssize_t(*)(int, const struct iovec *, int))real("writev"))(fd, parts, count);
}
#define PWRITE(name, offset_type)                                                                      \
  ssize_t name(int fd, const void *bytes, size_t size, offset_type offset) {                           \
    ON_FD(KIND_WRITE, fd);                                                                             \
    return ((ssize_t(*)(int, const void *, size_t, offset_type))real(#name))(fd, bytes, size, offset); \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
#define PWRITEV(name, offset_type)                                                             \
  ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset) {             \
    ON_FD(KIND_WRITE, fd);                                                                     \
    return ((ssize_t(*)(int, const struct iovec *, int, offset_type))real(#name))(fd, parts, count, offset); \
  }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

int fsync(int fd) {
  ON_FD(KIND_SYNC, fd);
  return ((int (*)(int))real("fsync"))(fd);
}
int fdatasync(int fd) {
  ON_FD(KIND_SYNC, fd);
  return ((int (*)(int))real("fdatasync"))(fd);
}
int syncfs(int fd) {
  ON_FD(KIND_SYNC, fd);
  return ((int (*)(int))real("syncfs"))(fd);
}
int msync(void *address, size_t size, int flags) {
  if (counts(KIND_SYNC) && fails()) return -1;
  return ((int (*)(void *, size_t, int))real("msync"))(address, size, flags);
}

#define OPEN(name)                                                                     \
  int name(const char *path, int flags, ...) {                                         \
    va_list rest;                                                                      \
    va_start(rest, flags);                                                             \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;     \
    va_end(rest);                                                                      \
    ON_PATH(KIND_OPEN, AT_FDCWD, path);                                                \
    return ((int (*)(const char *, int, ...))real(#name))(path, flags, mode);          \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                                   \
  int name(int at, const char *path, int flags, ...) {                                 \
    va_list rest;                                                                      \
    va_start(rest, flags);                                                             \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;     \
    va_end(rest);                                                                      \
    ON_PATH(KIND_OPEN, at, path);                                                      \
    return ((int (*)(int, const char *, int, ...))real(#name))(at, path, flags, mode); \
  }
OPENAT(openat)
OPENAT(openat64)

DIR *opendir(const char *path) {
  if (counts(KIND_OPEN) && is_path_below(AT_FDCWD, path) && fails()) return NULL;
  return ((DIR * (*)(const char *)) real("opendir"))(path);
}
#define SCANDIR(name, entry)                                                                        \
  int name(const char *path, struct entry ***found, int (*filter)(const struct entry *),            \
           int (*compare)(const struct entry **, const struct entry **)) {                          \
    ON_PATH(KIND_OPEN, AT_FDCWD, path);                                                             \
    return ((int (*)(const char *, struct entry ***, int (*)(const struct entry *),                 \
                     int (*)(const struct entry **, const struct entry **)))real(#name))(path, found, filter, compare); \
  }
SCANDIR(scandir, dirent)
SCANDIR(scandir64, dirent64)

int rename(const char *from, const char *to) {
  ON_PATH(KIND_RENAME, AT_FDCWD, to);
  return ((int (*)(const char *, const char *))real("rename"))(from, to);
}
int mkdir(const char *path, mode_t mode) {
  ON_PATH(KIND_MKDIR, AT_FDCWD, path);
  return ((int (*)(const char *, mode_t))real("mkdir"))(path, mode);
}
int link(const char *from, const char *to) {
  ON_PATH(KIND_LINK, AT_FDCWD, to);
  return ((int (*)(const char *, const char *))real("link"))(from, to);
}
