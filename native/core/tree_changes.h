#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "folder_walk.h"

namespace lazuli {

enum class ChangeKind : uint8_t {
  added,
  modified,
  deleted,
  /** Unchanged, and its inode has other names. */
  linked,
  /** An unchanged folder on the way to what comes next. */
  passed,
};

struct TreeChangesOptions {
  std::string lower;
  std::string upper;
  /**
   * The upper folder of an overlay whose layers below are those of `lower`: only names that it has can have changed. ""
   * for none: both trees are walked.
   */
  std::string guide;
};

/**
 * What differs between two trees, in the order of containerd's fs.Changes (depth first, names as bytes), told apart by
 * the same facts: mode, owner, device number, capability, and of what is no folder also size and time; content only where
 * neither time has a part of a second.
 * @return records: kind, mode, uid, gid, major, minor, links (words), device, inode, size, seconds (64 bits), nanoseconds
 *   (word), path, target of a link, capability (texts)
 * @throws SystemCallError: ECANCELED, E2BIG above CHANGE_BYTES_MAX
 */
std::string treeChanges(const TreeChangesOptions& options, const CancelFlag& isCancelled);

/** Bytes of all records; a tree that changed more has to be split into layers. */
constexpr size_t CHANGE_BYTES_MAX = size_t{512} << 20;

}  // namespace lazuli
