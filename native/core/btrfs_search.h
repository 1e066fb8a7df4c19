#pragma once

#include <linux/btrfs.h>

#include <cstdint>
#include <functional>
#include <span>

namespace lazuli {

/** A slice of a btrfs tree, from the first key to the last one. Keys are (object, type, offset). */
struct SearchRange {
  uint64_t tree;
  uint64_t firstObject;
  uint64_t lastObject;
  /** Bounds of the first and of the last object only: in between come all types. */
  uint32_t firstType;
  uint32_t lastType;
  uint64_t firstOffset = 0;
  uint64_t lastOffset = UINT64_MAX;
  /** Blocks that were written in an earlier transaction are passed over. */
  uint64_t firstTransaction = 0;
};

using SearchVisitor = std::function<void(const btrfs_ioctl_search_header& header, std::span<const uint8_t> item)>;

/** Calls for each item of the slice (BTRFS_IOC_TREE_SEARCH_V2). @throws SystemCallError; ENOENT for no such tree */
void searchTree(int fd, const SearchRange& range, const SearchVisitor& visit);

}  // namespace lazuli
