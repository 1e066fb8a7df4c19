// Measures what operations on a tree cost and prints one JSON object. Mechanism of src/bench/fs.
//   probe list ROOT LISTS               writes the lists files, folders, links and large below LISTS
//   probe OPERATION ROOT LISTS JOBS     does it on what the lists name, which were made of an equal tree
// Each job is a thread and takes every JOBS-th name; of operations on large files, every job does all of them.
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Names = std::vector<std::string>;

constexpr size_t kLargeFiles = 4;
constexpr int64_t kRandomReads = 20000;
constexpr int64_t kRandomReadBytes = 4096;
constexpr size_t kSequentialBytes = 128 * 1024;
constexpr uint64_t kSeed = 88172645463325252ULL;

struct Cost {
  int64_t count = 0;
  int64_t bytes = 0;
};

size_t rootLength = 0;
Names files, folders, links;
std::vector<std::pair<int64_t, std::string>> sizes;

[[noreturn]] void fail(const std::string& what) {
  perror(what.c_str());
  exit(1);
}

int64_t nowNanoseconds() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// Names with line breaks are left out: lists are lines.
int noteEntry(const char* path, const struct stat* facts, int, struct FTW*) {
  const std::string name = path + rootLength;
  if (name.find('\n') != std::string::npos) return 0;
  if (S_ISDIR(facts->st_mode)) folders.push_back(name);
  if (S_ISLNK(facts->st_mode)) links.push_back(name);
  if (S_ISREG(facts->st_mode)) {
    files.push_back(name);
    sizes.emplace_back(-facts->st_size, name);
  }
  return 0;
}

void writeNames(const std::string& path, Names names) {
  std::sort(names.begin(), names.end());
  std::ofstream out(path);
  for (const auto& name : names) out << name << '\n';
  if (!out.flush()) fail(path);
}

Names readNames(const std::string& path) {
  std::ifstream in(path);
  if (!in) fail(path);
  Names names;
  for (std::string line; std::getline(in, line);) names.push_back(line);
  return names;
}

void list(const std::string& root, const std::string& lists) {
  rootLength = root.size();
  // Not FTW_MOUNT: files of an overlay on several file systems have several device numbers.
  if (nftw(root.c_str(), noteEntry, 64, FTW_PHYS) != 0) fail(root);
  std::sort(sizes.begin(), sizes.end());
  Names large;
  for (size_t i = 0; i < std::min(kLargeFiles, sizes.size()); i += 1) large.push_back(sizes[i].second);
  writeNames(lists + "/files", files);
  writeNames(lists + "/folders", folders);
  writeNames(lists + "/links", links);
  writeNames(lists + "/large", large);
  printf("{\"nanoseconds\":0,\"count\":%zu,\"bytes\":0}\n", files.size() + folders.size() + links.size());
}

int openOrFail(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  return fd;
}

int64_t sizeOrFail(int fd, const std::string& path) {
  struct stat facts;
  if (fstat(fd, &facts) != 0) fail(path);
  return facts.st_size;
}

// Entries of a folder, each looked at if `withStat`: a walk is this for all folders.
Cost readFolder(const std::string& path, bool withStat) {
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) fail(path);
  Cost cost;
  while (const struct dirent* entry = readdir(folder)) {
    struct stat facts;
    if (withStat && fstatat(dirfd(folder), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) fail(path);
    cost.count += 1;
  }
  closedir(folder);
  return cost;
}

Cost readAll(const std::string& path) {
  std::vector<char> buffer(kSequentialBytes);
  const int fd = openOrFail(path);
  Cost cost{1, 0};
  for (ssize_t got; (got = read(fd, buffer.data(), buffer.size())) != 0; cost.bytes += got) {
    if (got < 0) fail(path);
  }
  close(fd);
  return cost;
}

Cost readRandomly(const std::string& path, uint64_t seed) {
  char buffer[kRandomReadBytes];
  const int fd = openOrFail(path);
  const auto blocks = static_cast<uint64_t>(sizeOrFail(fd, path) / kRandomReadBytes);
  uint64_t state = kSeed + seed;
  Cost cost;
  for (int64_t i = 0; blocks > 0 && i < kRandomReads; i += 1) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (pread(fd, buffer, sizeof buffer, static_cast<off_t>(state % blocks * sizeof buffer)) < 0) fail(path);
    cost.count += 1;
    cost.bytes += kRandomReadBytes;
  }
  close(fd);
  return cost;
}

// One byte of each page, in order, as a loader touches a library.
Cost touchPages(const std::string& path) {
  const int fd = openOrFail(path);
  const int64_t size = sizeOrFail(fd, path);
  if (size == 0) return {};
  auto* bytes = static_cast<volatile char*>(mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0));
  if (bytes == MAP_FAILED) fail(path);
  close(fd);
  Cost cost;
  for (int64_t at = 0; at < size; at += kRandomReadBytes) {
    (void)bytes[at];
    cost.count += 1;
  }
  cost.bytes = size;
  munmap(const_cast<char*>(bytes), size);
  return cost;
}

uint64_t hashOf(const std::string& name) {
  uint64_t hash = 14695981039346656037ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash ^ (hash >> 29);
}

// `operation` is one of the table in src/bench/fs/operations.ts.
Cost perform(const std::string& operation, const std::string& root, const std::string& name, uint64_t job) {
  const std::string path = root + name;
  char buffer[4096];
  struct stat facts;
  if (operation == "walk") return readFolder(path, true);
  if (operation == "readdir") return readFolder(path, false);
  if (operation == "sequential") return readAll(path);
  if (operation == "random") return readRandomly(path, job);
  if (operation == "mmap") return touchPages(path);
  if (operation.starts_with("sweep-")) {
    return hashOf(name) % 100 < std::strtoull(operation.c_str() + 6, nullptr, 10) ? readAll(path) : Cost{};
  }
  if (operation == "stat") {
    if (lstat(path.c_str(), &facts) != 0) fail(path);
  } else if (operation == "open") {
    close(openOrFail(path));
  } else if (operation == "readlink") {
    if (readlink(path.c_str(), buffer, sizeof buffer) < 0) fail(path);
  } else if (operation == "xattr") {
    // As exec(2) and `ls -l` do; that there is none, or that there can't be any, is an answer.
    (void)lgetxattr(path.c_str(), "security.capability", buffer, sizeof buffer);
    if (llistxattr(path.c_str(), buffer, sizeof buffer) < 0 && errno != ENOTSUP) fail(path);
  } else {
    fail("operation " + operation);
  }
  return {1, 0};
}

std::string listOf(const std::string& operation) {
  if (operation == "walk" || operation == "readdir") return "folders";
  if (operation == "readlink") return "links";
  if (operation == "sequential" || operation == "random" || operation == "mmap") return "large";
  return "files";
}

void measure(const std::string& operation, const std::string& root, const std::string& lists, size_t jobs) {
  const std::string list = listOf(operation);
  const Names names = readNames(lists + "/" + list);
  const size_t step = list == "large" ? 1 : jobs;
  std::vector<Cost> costs(jobs);
  const int64_t started = nowNanoseconds();
  std::vector<std::thread> threads;
  for (size_t job = 0; job < jobs; job += 1) {
    threads.emplace_back([&, job] {
      for (size_t i = list == "large" ? 0 : job; i < names.size(); i += step) {
        const Cost cost = perform(operation, root, names[i], job);
        costs[job].count += cost.count;
        costs[job].bytes += cost.bytes;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const int64_t nanoseconds = nowNanoseconds() - started;
  Cost all;
  for (const auto& cost : costs) {
    all.count += cost.count;
    all.bytes += cost.bytes;
  }
  printf("{\"nanoseconds\":%lld,\"count\":%lld,\"bytes\":%lld}\n", static_cast<long long>(nanoseconds),
         static_cast<long long>(all.count), static_cast<long long>(all.bytes));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) fail("usage");
  const std::string operation = argv[1];
  if (operation == "list") {
    list(argv[2], argv[3]);
  } else {
    measure(operation, argv[2], argv[3], argc > 4 ? std::max(1, atoi(argv[4])) : 1);
  }
  return 0;
}
