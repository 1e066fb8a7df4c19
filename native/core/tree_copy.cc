#include "tree_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inode_copy.h"
#include "syscalls.h"

namespace lazuli {
namespace {

constexpr mode_t PRIVATE_FOLDER = 0700;

/** Where an inode with several names was copied to first. */
struct FirstName {
  std::string folder;
  std::string name;
};

class TreeCopy {
 public:
  TreeCopy(const std::string& source, const std::string& target, const CancelFlag& isCancelled)
      : source_(source), target_(target), isCancelled_(isCancelled), inodes_(isCancelled) {}

  void run() {
    std::vector<std::string> folders{""};
    while (!folders.empty()) {
      const std::string path = std::move(folders.back());
      folders.pop_back();
      copyFolder(path, folders);
    }
  }

 private:
  /** Copies what is in a folder; the folders in it are made, empty, and added to `folders`. */
  void copyFolder(const std::string& path, std::vector<std::string>& folders) {
    FolderNames names(source_.openFolder(path));
    const FileDescriptor target = target_.openFolder(path);
    for (const char* name = names.next(); name != nullptr; name = names.next()) {
      throwIfCancelled(isCancelled_);
      struct stat facts;
      if (fstatat(names.fd(), name, &facts, AT_SYMLINK_NOFOLLOW) != 0) throw SystemCallError(errno, "fstatat", name);
      if (S_ISDIR(facts.st_mode)) {
        if (mkdirat(target.get(), name, PRIVATE_FOLDER) != 0) throw SystemCallError(errno, "mkdirat", name);
        folders.push_back(joined(path, name));
      } else {
        copyName({names.fd(), target.get(), name}, facts, path);
      }
    }
    // What is made in a folder of it later changes that one's time only.
    inodes_.copyFolderFacts(names.fd(), target.get());
  }

  void copyName(const NamePair& pair, const struct stat& facts, const std::string& folder) {
    if (facts.st_nlink > 1) {
      const auto [first, isNew] = linked_.try_emplace(InodeKey(facts), FirstName{folder, pair.name});
      if (!isNew) return link(first->second, pair);
    }
    if (S_ISREG(facts.st_mode)) inodes_.copyFile(pair, facts);
    else inodes_.copySpecial(pair, facts);
  }

  void link(const FirstName& first, const NamePair& pair) {
    const FileDescriptor folder = target_.openFolder(first.folder);
    if (linkat(folder.get(), first.name.c_str(), pair.target, pair.name, 0) != 0) {
      throw SystemCallError(errno, "linkat", pair.name);
    }
  }

  const Tree source_;
  const Tree target_;
  const CancelFlag& isCancelled_;
  InodeCopy inodes_;
  std::unordered_map<InodeKey, FirstName, InodeKeyHash> linked_;
};

}  // namespace

void copyTree(const std::string& source, const std::string& target, const CancelFlag& isCancelled) {
  if (mkdir(target.c_str(), PRIVATE_FOLDER) != 0) throw SystemCallError(errno, "mkdir", target);
  TreeCopy(source, target, isCancelled).run();
}

}  // namespace lazuli
