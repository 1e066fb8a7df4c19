#include "core/tree_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "check.h"
#include "core/syscalls.h"
#include "core/tree_removal.h"
#include "core/tree_usage.h"

using namespace lazuli;

namespace {

const std::string ODD_NAME = "\xff\xfe name";

struct stat factsOf(const std::string& path) {
  struct stat facts;
  CHECK(lstat(path.c_str(), &facts) == 0);
  return facts;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  CHECK(factsOf(path).st_size == static_cast<off_t>(text.size()));
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/** Makes a chain of folders that is longer than a path may be. */
void makeDeep(const std::string& root, size_t levels) {
  int folder = open(root.c_str(), O_RDONLY | O_DIRECTORY);
  const std::string name(200, 'd');
  for (size_t level = 0; level < levels; level++) {
    CHECK(mkdirat(folder, name.c_str(), 0755) == 0);
    const int next = openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY);
    close(folder);
    folder = next;
  }
  const int file = openat(folder, "bottom", O_WRONLY | O_CREAT, 0600);
  CHECK(file >= 0);
  close(file);
  close(folder);
}

void makeTree(const std::string& root) {
  CHECK(mkdir(root.c_str(), 0750) == 0);
  CHECK(mkdir((root + "/" + ODD_NAME).c_str(), 01777) == 0);
  write(root + "/" + ODD_NAME + "/text", "hello");
  CHECK(link((root + "/" + ODD_NAME + "/text").c_str(), (root + "/linked").c_str()) == 0);
  CHECK(symlink("/nowhere", (root + "/dangling").c_str()) == 0);
  CHECK(mkfifo((root + "/pipe").c_str(), 0620) == 0);
  write(root + "/sparse", "start");
  const int sparse = open((root + "/sparse").c_str(), O_WRONLY);
  CHECK(pwrite(sparse, "end", 3, 10 << 20) == 3);
  CHECK(ftruncate(sparse, 20 << 20) == 0);
  const std::array<timespec, 2> times{timespec{-5, 7}, timespec{-86400, 123456789}};
  CHECK(futimens(sparse, times.data()) == 0);
  close(sparse);
  CHECK(chmod((root + "/linked").c_str(), 04751) == 0);
  makeDeep(root, 40);
}

void checkCopy(const std::string& root, const std::string& copy) {
  CHECK((factsOf(copy).st_mode & 07777) == 0750);
  CHECK((factsOf(copy + "/" + ODD_NAME).st_mode & 07777) == 01777);
  CHECK(read(copy + "/linked") == "hello");
  CHECK(factsOf(copy + "/linked").st_ino == factsOf(copy + "/" + ODD_NAME + "/text").st_ino);
  CHECK((factsOf(copy + "/linked").st_mode & 07777) == 04751);
  CHECK(std::filesystem::read_symlink(copy + "/dangling") == "/nowhere");
  CHECK(S_ISFIFO(factsOf(copy + "/pipe").st_mode));
  const auto sparse = factsOf(copy + "/sparse");
  CHECK(sparse.st_size == 20 << 20);
  CHECK(sparse.st_blocks == factsOf(root + "/sparse").st_blocks);
  CHECK(sparse.st_mtim.tv_sec == -86400 && sparse.st_mtim.tv_nsec == 123456789);
  CHECK(factsOf(copy).st_mtim.tv_nsec == factsOf(root).st_mtim.tv_nsec);
}

}  // namespace

int main() {
  umask(0);
  std::string base = (std::filesystem::temp_directory_path() / "lazuli-tree-XXXXXX").string();
  CHECK(mkdtemp(base.data()) != nullptr);
  const std::string root = base + "/source";
  const std::string copy = base + "/copy";
  const CancelFlag goesOn(false);
  const CancelFlag isCancelled(true);
  makeTree(root);

  copyTree(root, copy, goesOn);
  checkCopy(root, copy);
  const TreeUsage usage = treeUsage(root, goesOn);
  CHECK(usage.inodes == 47);
  CHECK(treeUsage(copy, goesOn).inodes == usage.inodes);
  CHECK(treeUsage(copy, goesOn).sizeBytes == usage.sizeBytes);
  CHECK(treeDifference(root, copy, goesOn).inodes == 0);

  write(copy + "/new", "new");
  CHECK(chmod((copy + "/pipe").c_str(), 0600) == 0);
  write(copy + "/linked", "HELLO");
  const TreeUsage difference = treeDifference(root, copy, goesOn);
  // The new file, the pipe, and the inode with two names.
  CHECK(difference.inodes == 3);
  CHECK(treeDifference(copy, root, goesOn).inodes == 2);

  CHECK_THROWS(SystemCallError, copyTree(root, copy, goesOn));
  CHECK_THROWS(SystemCallError, copyTree(root, base + "/half", isCancelled));
  CHECK_THROWS(SystemCallError, treeUsage(root, isCancelled));
  CHECK_THROWS(SystemCallError, treeUsage(root + "/nothing", goesOn));

  for (const char* name : {"/source", "/copy", "/half", "/nothing"}) removeTree(base + name);
  CHECK(rmdir(base.c_str()) == 0);
}
