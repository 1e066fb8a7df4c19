#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "folder_walk.h"
#include "idmap_ranges.h"

namespace lazuli {

/**
 * Gives each inode of a tree the owner that the maps name: chown, for kernels and file systems without idmapped mounts.
 * What chown takes away comes back: setuid bits and capabilities, these for the mapped root; access lists are mapped. On
 * overlayfs without an index hard links fall apart: each name gets its owner all the same.
 * A tree whose remapping was broken off is spoilt: nothing tells the ids that were mapped.
 */
class TreeRemap {
 public:
  TreeRemap(IdRanges uids, IdRanges gids, const CancelFlag& isCancelled);

  /** Returns the inodes changed. @throws SystemCallError: EOVERFLOW for an id that has no place in the maps */
  uint64_t run(const std::string& root);

 private:
  struct Entry;

  void remapFolder(const Tree& tree, const std::string& path, std::vector<std::string>& folders);
  void remapEntry(const Entry& entry);
  /** On overlayfs with an index a further name of a mapped inode comes into the upper layer only by a change of its own. */
  static void touchName(const Entry& entry);
  void remapAttributes(const Entry& entry, const std::vector<std::string>& names);

  const IdRanges uids_;
  const IdRanges gids_;
  const CancelFlag& isCancelled_;
  /** With more than one name, and mapped under one of them. */
  std::unordered_set<InodeKey, InodeKeyHash> mapped_;
  uint64_t changed_ = 0;
};

}  // namespace lazuli
