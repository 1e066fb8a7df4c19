#pragma once

#include <cstdint>
#include <string>

#include "folder_walk.h"

namespace lazuli {

/** Bytes on disk and inodes, each inode once. */
struct TreeUsage {
  uint64_t sizeBytes = 0;
  uint64_t inodes = 0;
};

/** What a tree holds, as du counts: the root too. What goes away meanwhile is passed over. */
TreeUsage treeUsage(const std::string& root, const CancelFlag& isCancelled);

/**
 * What `upper` holds that `lower` does not have at the same path, or has otherwise: mode, owner, device number,
 * capability, and of what is no folder also size, time and content. Counted as containerd's snapshotters count the
 * changes of one tree against another: the root and what is missing in `upper` count nothing.
 */
TreeUsage treeDifference(const std::string& lower, const std::string& upper, const CancelFlag& isCancelled);

}  // namespace lazuli
