#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tree_usage.h"

namespace lazuli {

// Subvolumes of btrfs, by ioctl (linux/btrfs.h); wants Linux 5.7. All throw SystemCallError; ENOTTY where it is no btrfs.

/** The number that `mount -o subvolid=` takes. */
uint64_t subvolumeId(const std::string& path);
/** Makes an empty subvolume with mode 0755. Not durable: fsync it and the folder that holds it. */
void createSubvolume(const std::string& path);
/** Makes a subvolume that has what another one has at this moment, unwritten pages too. Durable. */
void snapshotSubvolume(const std::string& source, const std::string& target, bool isReadOnly);
/** Durable. */
void setSubvolumeReadOnly(const std::string& path, bool isReadOnly);
/** Deletes a subvolume with all that were made in it. ENOENT where nothing is. */
void deleteSubvolume(const std::string& path);
/**
 * What a subvolume and those in it hold that no other one does, by the file system's own accounts: no walk through the
 * tree. Inodes are those changed since it was made. Syncs the file system, because the accounts follow its commits.
 * Nothing where there are no accounts, or where they can't be trusted.
 */
std::optional<TreeUsage> accountedUsage(const std::string& path);

}  // namespace lazuli
