#pragma once

#include <cstdint>
#include <string>

namespace lazuli {

// Quotas of projects: what all inodes with one number hold together. By quotactl_fd(2), so Linux 5.14 or newer, and a
// file system that was made and mounted with them. All throw SystemCallError; ENOSYS, ENOTTY or EOPNOTSUPP where there is
// no such thing.

struct ProjectQuotaState {
  /** Who holds what is counted. */
  bool isAccounted = false;
  /** Limits hold. */
  bool isEnforced = false;
};

struct ProjectUsage {
  uint64_t sizeBytes = 0;
  uint64_t inodes = 0;
  /** Writes beyond it fail; 0: none. */
  uint64_t limitBytes = 0;
};

/** Of the file system that holds a folder; both false where it keeps no quotas. */
ProjectQuotaState projectQuotaState(const std::string& path);
/** The project of a folder; 0 is that of all who have none. */
uint32_t projectOf(const std::string& path);
/** Puts an empty folder into a project, and with it all that will be made below. Durable. */
void assignProject(const std::string& path, uint32_t project);
/** Limits what a project holds, rounded up to whole KiB; 0: no limit. */
void limitProject(const std::string& path, uint32_t project, uint64_t limitBytes);
ProjectUsage projectUsage(const std::string& path, uint32_t project);

}  // namespace lazuli
