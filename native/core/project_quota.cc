#include "project_quota.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "file_descriptor.h"
#include "syscalls.h"

namespace lazuli {
namespace {

/** Limits are counted in these, whatever the blocks of the file system are (QIF_DQBLKSIZE of linux/quota.h). */
constexpr uint64_t BLOCK_BYTES = 1024;
constexpr uint64_t LIMIT_BYTES_MAX = std::numeric_limits<int64_t>::max();

FileDescriptor opened(const std::string& path) {
  FileDescriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) throw SystemCallError(errno, "open", path);
  return folder;
}

int control(const FileDescriptor& folder, int command, uint32_t project, void* data) {
  const auto code = static_cast<unsigned int>(QCMD(command, PRJQUOTA));
  return static_cast<int>(syscall(SYS_quotactl_fd, folder.get(), code, project, data));
}

fsxattr attributesOf(const FileDescriptor& folder, const std::string& path) {
  fsxattr attributes{};
  if (ioctl(folder.get(), FS_IOC_FSGETXATTR, &attributes) != 0) {
    throw SystemCallError(errno, "ioctl FS_IOC_FSGETXATTR", path);
  }
  return attributes;
}

}  // namespace

ProjectQuotaState projectQuotaState(const std::string& path) {
  const FileDescriptor folder = opened(path);
  fs_quota_statv state{};
  state.qs_version = FS_QSTATV_VERSION1;
  if (control(folder, Q_XGETQSTATV, 0, &state) != 0) {
    // ENOSYS comes from file systems without quotas, and from kernels without the call: there is none either way.
    if (errno == ENOSYS || errno == ENOTSUP || errno == EINVAL || errno == ESRCH || errno == ENOTBLK) return {};
    throw SystemCallError(errno, "quotactl_fd Q_XGETQSTATV", path);
  }
  return {
      .isAccounted = (state.qs_flags & FS_QUOTA_PDQ_ACCT) != 0,
      .isEnforced = (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0,
  };
}

uint32_t projectOf(const std::string& path) { return attributesOf(opened(path), path).fsx_projid; }

void assignProject(const std::string& path, uint32_t project) {
  const FileDescriptor folder = opened(path);
  fsxattr attributes = attributesOf(folder, path);
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (ioctl(folder.get(), FS_IOC_FSSETXATTR, &attributes) != 0) {
    throw SystemCallError(errno, "ioctl FS_IOC_FSSETXATTR", path);
  }
  if (fsync(folder.get()) != 0) throw SystemCallError(errno, "fsync", path);
}

void limitProject(const std::string& path, uint32_t project, uint64_t limitBytes) {
  if (limitBytes > LIMIT_BYTES_MAX) throw SystemCallError(EOVERFLOW, "quotactl_fd Q_SETQUOTA", path);
  if_dqblk limits{};
  limits.dqb_bhardlimit = limitBytes / BLOCK_BYTES + (limitBytes % BLOCK_BYTES == 0 ? 0 : 1);
  // A soft limit would be one that holds after a time only.
  limits.dqb_bsoftlimit = 0;
  limits.dqb_valid = QIF_BLIMITS;
  if (control(opened(path), Q_SETQUOTA, project, &limits) != 0) {
    throw SystemCallError(errno, "quotactl_fd Q_SETQUOTA", path);
  }
}

ProjectUsage projectUsage(const std::string& path, uint32_t project) {
  if_dqblk held{};
  if (control(opened(path), Q_GETQUOTA, project, &held) != 0) {
    // xfs knows only projects that hold something, or are limited.
    if (errno == ENOENT) return {};
    throw SystemCallError(errno, "quotactl_fd Q_GETQUOTA", path);
  }
  return {
      .sizeBytes = held.dqb_curspace,
      .inodes = held.dqb_curinodes,
      .limitBytes = held.dqb_bhardlimit * BLOCK_BYTES,
  };
}

}  // namespace lazuli
