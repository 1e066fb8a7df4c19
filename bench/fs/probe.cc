// Measures what file operations cost in one folder and prints one JSON object. Mechanism of bench/fs/main.ts.
//   probe walk FOLDER          lstat of every entry
//   probe open FILE COUNT      open and close
//   probe sequential FILE      read(2) of 128 KiB to the end
//   probe random FILE COUNT    pread(2) of 4 KiB at seeded random places
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace {

int64_t entries = 0;

int countEntry(const char*, const struct stat*, int, struct FTW*) {
  entries += 1;
  return 0;
}

int64_t nowNanoseconds() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

[[noreturn]] void fail(const char* what) {
  perror(what);
  exit(1);
}

void print(int64_t nanoseconds, int64_t count, int64_t bytes) {
  printf("{\"nanoseconds\":%lld,\"count\":%lld,\"bytes\":%lld}\n", static_cast<long long>(nanoseconds),
         static_cast<long long>(count), static_cast<long long>(bytes));
}

int openOrFail(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) fail("usage");
  const std::string mode = argv[1];
  const char* path = argv[2];
  const int64_t count = argc > 3 ? atoll(argv[3]) : 0;
  if (mode == "walk") {
    const int64_t started = nowNanoseconds();
    if (nftw(path, countEntry, 64, FTW_PHYS) != 0) fail(path);
    print(nowNanoseconds() - started, entries, 0);
  } else if (mode == "open") {
    const int64_t started = nowNanoseconds();
    for (int64_t i = 0; i < count; i += 1) close(openOrFail(path));
    print(nowNanoseconds() - started, count, 0);
  } else if (mode == "sequential") {
    std::vector<char> buffer(128 * 1024);
    const int64_t started = nowNanoseconds();
    const int fd = openOrFail(path);
    int64_t bytes = 0;
    for (ssize_t got; (got = read(fd, buffer.data(), buffer.size())) != 0; bytes += got) {
      if (got < 0) fail(path);
    }
    print(nowNanoseconds() - started, 1, bytes);
  } else if (mode == "random") {
    char buffer[4096];
    const int fd = openOrFail(path);
    struct stat facts;
    if (fstat(fd, &facts) != 0) fail(path);
    uint64_t state = 88172645463325252ULL;
    const uint64_t blocks = static_cast<uint64_t>(facts.st_size) / sizeof buffer;
    const int64_t started = nowNanoseconds();
    for (int64_t i = 0; i < count; i += 1) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      if (pread(fd, buffer, sizeof buffer, static_cast<off_t>(state % blocks * sizeof buffer)) < 0) fail(path);
    }
    print(nowNanoseconds() - started, count, count * static_cast<int64_t>(sizeof buffer));
  } else {
    fail("mode");
  }
  return 0;
}
