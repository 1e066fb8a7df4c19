#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "file_descriptor.h"

namespace lazuli {

/** Told by another thread that the work is not wanted any more. */
using CancelFlag = std::atomic<bool>;

/** @throws SystemCallError ECANCELED when the flag is set */
void throwIfCancelled(const CancelFlag& isCancelled);

/** What an inode is known by. */
struct InodeKey {
  dev_t device;
  ino_t number;

  explicit InodeKey(const struct stat& facts) : device(facts.st_dev), number(facts.st_ino) {}
  bool operator==(const InodeKey& other) const = default;
};

struct InodeKeyHash {
  size_t operator()(const InodeKey& key) const {
    return std::hash<uint64_t>()(key.number * 31 + key.device);
  }
};

/** A tree of files whose root is open: its folders are opened by their names from there, never through a link or a mount. */
class Tree {
 public:
  /** @throws SystemCallError */
  explicit Tree(const std::string& root);

  /**
   * Opens a folder. `path` is relative, "" for the root, and may be longer than the kernel takes at once.
   * @throws SystemCallError: EXDEV where something is mounted, ELOOP at a link
   */
  FileDescriptor openFolder(const std::string& path) const;

 private:
  FileDescriptor root_;
};

/** The names in an open folder, in the order of the disk, without "." and "..". */
class FolderNames {
 public:
  /** @throws SystemCallError */
  explicit FolderNames(FileDescriptor folder);

  int fd() const { return dirfd(stream_.get()); }
  /** Null at the end; valid until the next call. @throws SystemCallError */
  const char* next();

 private:
  struct Closer {
    void operator()(DIR* stream) const { closedir(stream); }
  };
  std::unique_ptr<DIR, Closer> stream_;
};

/** `path` with a name behind it; "" is the root. */
std::string joined(const std::string& path, const char* name);

/** The thing is gone, or is another than it was: what a walk through a tree in use meets. */
bool isPassingError(int error);

}  // namespace lazuli
