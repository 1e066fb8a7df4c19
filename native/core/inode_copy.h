#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "folder_walk.h"

namespace lazuli {

/** Where a name is copied from and to: the same name in two open folders. */
struct NamePair {
  int source;
  int target;
  const char* name;
};

/** Copies single inodes of one tree into another, with all that they have but their names and their place. */
class InodeCopy {
 public:
  explicit InodeCopy(const CancelFlag& isCancelled) : isCancelled_(isCancelled) {}

  /** A regular file: shares its extents where the file system can do that, else keeps its holes. */
  void copyFile(const NamePair& pair, const struct stat& facts);
  /** A symbolic link, device, pipe or socket. */
  void copySpecial(const NamePair& pair, const struct stat& facts);
  /** Owner, mode, attributes and times of an open folder, once all in it is made. */
  void copyFolderFacts(int source, int target);

 private:
  void copyContent(int source, int target, uint64_t sizeBytes);
  void copyRange(int source, int target, uint64_t start, uint64_t end);
  void writeRange(int source, int target, uint64_t start, uint64_t end);

  const CancelFlag& isCancelled_;
  /** What the file system was found not to do: it is not asked again. */
  bool canClone_ = true;
  bool canCopyRange_ = true;
};

}  // namespace lazuli
