#include "btrfs.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "btrfs_search.h"
#include "file_descriptor.h"
#include "syscalls.h"

namespace lazuli {
namespace {

constexpr mode_t SUBVOLUME_MODE = 0755;

FileDescriptor openFolder(const std::string& path) {
  FileDescriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) throw SystemCallError(errno, "open", path);
  return folder;
}

/** A folder inside a subvolume would stand for all of it: what is done to subvolumes is done to their roots only. */
FileDescriptor openSubvolume(const std::string& path) {
  FileDescriptor folder = openFolder(path);
  struct stat facts;
  if (fstat(folder.get(), &facts) != 0) throw SystemCallError(errno, "fstat", path);
  if (facts.st_ino != BTRFS_FIRST_FREE_OBJECTID) throw SystemCallError(EINVAL, "btrfs", path + " is no subvolume");
  return folder;
}

/** The file handle that btrfs gives to an inode of a subvolume (fs/btrfs/export.h). */
struct InodeHandle {
  file_handle header{HANDLE_BYTES, HANDLE_TYPE, {}};
  uint64_t inode = BTRFS_FIRST_FREE_OBJECTID;
  uint64_t subvolume = 0;
  /** Any. */
  uint32_t generation = 0;

  static constexpr unsigned HANDLE_BYTES = 20;
  static constexpr int HANDLE_TYPE = 0x4d;
};
static_assert(offsetof(InodeHandle, inode) == sizeof(file_handle), "the handle follows its header");

/** By number: a nested one may have another mounted on its path, and a path of any length. */
FileDescriptor openById(int fd, uint64_t subvolume) {
  InodeHandle handle;
  handle.subvolume = subvolume;
  FileDescriptor opened(open_by_handle_at(fd, &handle.header, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) throw SystemCallError(errno, "open_by_handle_at", "subvolume " + std::to_string(subvolume));
  return opened;
}

/** A path in two: the folder that holds it, and its name there. */
std::pair<std::string, std::string> splitPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash + 1 == path.size()) throw SystemCallError(EINVAL, "btrfs", path);
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

template <size_t size>
void setName(char (&field)[size], const std::string& name) {
  if (name.size() >= size) throw SystemCallError(ENAMETOOLONG, "btrfs", name);
  std::memcpy(field, name.c_str(), name.size() + 1);
}

/** BTRFS_IOC_GET_SUBVOL_INFO answers 1 where it found one (seen with Linux 6.18): only what is negative has failed. */
void control(int fd, unsigned long request, void* argument, const char* call, const std::string& path) {
  if (ioctl(fd, request, argument) < 0) throw SystemCallError(errno, call, path);
}

btrfs_ioctl_get_subvol_info_args subvolumeFacts(int fd, const std::string& path) {
  btrfs_ioctl_get_subvol_info_args facts{};
  control(fd, BTRFS_IOC_GET_SUBVOL_INFO, &facts, "btrfs_get_subvol_info", path);
  return facts;
}

/** The subvolumes that were made right inside another one. */
std::vector<uint64_t> childrenOf(int fd, uint64_t subvolume) {
  std::vector<uint64_t> children;
  const SearchRange range{BTRFS_ROOT_TREE_OBJECTID, subvolume, subvolume, BTRFS_ROOT_REF_KEY, BTRFS_ROOT_REF_KEY};
  searchTree(fd, range, [&](const btrfs_ioctl_search_header& header, std::span<const uint8_t>) {
    if (header.type == BTRFS_ROOT_REF_KEY) children.push_back(header.offset);
  });
  return children;
}

/** All that were made inside one, however deep; each stands behind the one that holds it. The first is itself. */
std::vector<uint64_t> withNested(int fd, uint64_t subvolume) {
  std::vector<uint64_t> all{subvolume};
  for (size_t next = 0; next < all.size(); next++) {
    const std::vector<uint64_t> children = childrenOf(fd, all[next]);
    all.insert(all.end(), children.begin(), children.end());
  }
  return all;
}

/** Takes the read-only flag away, because nothing can be deleted from a subvolume that has it. */
void makeWritable(int subvolume) {
  uint64_t flags = 0;
  control(subvolume, BTRFS_IOC_SUBVOL_GETFLAGS, &flags, "btrfs_subvol_getflags", "");
  if ((flags & BTRFS_SUBVOL_RDONLY) == 0) return;
  flags &= ~BTRFS_SUBVOL_RDONLY;
  control(subvolume, BTRFS_IOC_SUBVOL_SETFLAGS, &flags, "btrfs_subvol_setflags", "");
}

void deleteById(int fd, uint64_t subvolume) {
  btrfs_ioctl_vol_args_v2 args{};
  args.flags = BTRFS_SUBVOL_SPEC_BY_ID;
  args.subvolid = subvolume;
  if (ioctl(fd, BTRFS_IOC_SNAP_DESTROY_V2, &args) == 0 || errno == ENOENT) return;
  throw SystemCallError(errno, "btrfs_snap_destroy", "subvolume " + std::to_string(subvolume));
}

/** Deletes what was made inside a subvolume, the innermost first. */
void deleteNested(int subvolume, uint64_t id) {
  const std::vector<uint64_t> all = withNested(subvolume, id);
  if (all.size() == 1) return;
  makeWritable(subvolume);
  for (size_t next = 1; next < all.size(); next++) {
    if (!childrenOf(subvolume, all[next]).empty()) makeWritable(openById(subvolume, all[next]).get());
  }
  for (size_t next = all.size() - 1; next > 0; next--) deleteById(subvolume, all[next]);
}

template <typename Item>
bool isRead(std::span<const uint8_t> bytes, Item& item) {
  if (bytes.size() < sizeof item) return false;
  std::memcpy(&item, bytes.data(), sizeof item);
  return true;
}

/** Accounts are kept and hold: not while they are being counted for the first time, nor after they were lost. */
bool isAccounting(int fd) {
  uint64_t flags = 0;
  const SearchRange range{BTRFS_QUOTA_TREE_OBJECTID, 0, 0, BTRFS_QGROUP_STATUS_KEY, BTRFS_QGROUP_STATUS_KEY};
  try {
    searchTree(fd, range, [&](const btrfs_ioctl_search_header& header, std::span<const uint8_t> bytes) {
      btrfs_qgroup_status_item item;
      if (header.type == BTRFS_QGROUP_STATUS_KEY && isRead(bytes, item)) flags = le64toh(item.flags);
    });
  } catch (const SystemCallError& failed) {
    if (failed.code().value() == ENOENT) return false;
    throw;
  }
  constexpr uint64_t broken = BTRFS_QGROUP_STATUS_FLAG_RESCAN | BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT;
  return (flags & BTRFS_QGROUP_STATUS_FLAG_ON) != 0 && (flags & broken) == 0;
}

std::optional<uint64_t> exclusiveBytes(int fd, uint64_t subvolume) {
  std::optional<uint64_t> found;
  SearchRange range{BTRFS_QUOTA_TREE_OBJECTID, 0, 0, BTRFS_QGROUP_INFO_KEY, BTRFS_QGROUP_INFO_KEY};
  range.firstOffset = subvolume;
  range.lastOffset = subvolume;
  searchTree(fd, range, [&](const btrfs_ioctl_search_header& header, std::span<const uint8_t> bytes) {
    btrfs_qgroup_info_item item;
    if (header.type == BTRFS_QGROUP_INFO_KEY && isRead(bytes, item)) found = le64toh(item.excl);
  });
  return found;
}

/** When a subvolume was made. */
struct Birth {
  uint64_t transaction;
  timespec time;
};

/** Inodes made or changed since; an inode that was only read has a later transaction, but not a later change. */
uint64_t changedInodes(int fd, uint64_t subvolume, const Birth& birth) {
  uint64_t inodes = 0;
  SearchRange range{subvolume, BTRFS_FIRST_FREE_OBJECTID, BTRFS_LAST_FREE_OBJECTID, BTRFS_INODE_ITEM_KEY, UINT8_MAX};
  range.firstTransaction = birth.transaction;
  searchTree(fd, range, [&](const btrfs_ioctl_search_header& header, std::span<const uint8_t> bytes) {
    btrfs_inode_item item;
    if (header.type != BTRFS_INODE_ITEM_KEY || !isRead(bytes, item)) return;
    const auto second = static_cast<time_t>(le64toh(item.ctime.sec));
    const bool isLater = second != birth.time.tv_sec ? second > birth.time.tv_sec
                                                     : le32toh(item.ctime.nsec) >= birth.time.tv_nsec;
    if (le64toh(item.transid) >= birth.transaction && isLater && le32toh(item.nlink) > 0) inodes++;
  });
  return inodes;
}

/** Nothing is known of when a nested one was made, and all of it is new. */
constexpr Birth BEFORE_ALL{0, {0, 0}};

}  // namespace

uint64_t subvolumeId(const std::string& path) {
  return subvolumeFacts(openSubvolume(path).get(), path).treeid;
}

void createSubvolume(const std::string& path) {
  const auto [folderPath, name] = splitPath(path);
  const FileDescriptor folder = openFolder(folderPath);
  btrfs_ioctl_vol_args args{};
  setName(args.name, name);
  control(folder.get(), BTRFS_IOC_SUBVOL_CREATE, &args, "btrfs_subvol_create", path);
  // The mode that it was made with passed through the umask.
  const FileDescriptor made = openFolder(path);
  struct stat facts;
  if (fstat(made.get(), &facts) != 0) throw SystemCallError(errno, "fstat", path);
  if ((facts.st_mode & 07777) == SUBVOLUME_MODE) return;
  if (fchmod(made.get(), SUBVOLUME_MODE) != 0) throw SystemCallError(errno, "fchmod", path);
}

void snapshotSubvolume(const std::string& source, const std::string& target, bool isReadOnly) {
  const auto [folderPath, name] = splitPath(target);
  const FileDescriptor folder = openFolder(folderPath);
  const FileDescriptor from = openSubvolume(source);
  btrfs_ioctl_vol_args_v2 args{};
  args.fd = from.get();
  args.flags = isReadOnly ? BTRFS_SUBVOL_RDONLY : 0;
  setName(args.name, name);
  control(folder.get(), BTRFS_IOC_SNAP_CREATE_V2, &args, "btrfs_snap_create", target);
}

void setSubvolumeReadOnly(const std::string& path, bool isReadOnly) {
  const FileDescriptor folder = openSubvolume(path);
  uint64_t flags = isReadOnly ? BTRFS_SUBVOL_RDONLY : 0;
  control(folder.get(), BTRFS_IOC_SUBVOL_SETFLAGS, &flags, "btrfs_subvol_setflags", path);
}

void deleteSubvolume(const std::string& path) {
  const auto [folderPath, name] = splitPath(path);
  const FileDescriptor folder = openFolder(folderPath);
  {
    const FileDescriptor subvolume = openSubvolume(path);
    deleteNested(subvolume.get(), subvolumeFacts(subvolume.get(), path).treeid);
  }
  btrfs_ioctl_vol_args args{};
  setName(args.name, name);
  control(folder.get(), BTRFS_IOC_SNAP_DESTROY, &args, "btrfs_snap_destroy", path);
}

std::optional<TreeUsage> accountedUsage(const std::string& path) {
  const FileDescriptor folder = openSubvolume(path);
  if (!isAccounting(folder.get())) return std::nullopt;
  control(folder.get(), BTRFS_IOC_SYNC, nullptr, "btrfs_sync", path);
  if (!isAccounting(folder.get())) return std::nullopt;
  const auto facts = subvolumeFacts(folder.get(), path);
  TreeUsage usage;
  for (const uint64_t subvolume : withNested(folder.get(), facts.treeid)) {
    const std::optional<uint64_t> bytes = exclusiveBytes(folder.get(), subvolume);
    if (!bytes) return std::nullopt;
    usage.sizeBytes += *bytes;
    const Birth birth = subvolume == facts.treeid
                            ? Birth{facts.otransid, {static_cast<time_t>(facts.otime.sec), facts.otime.nsec}}
                            : BEFORE_ALL;
    usage.inodes += changedInodes(folder.get(), subvolume, birth);
  }
  return usage;
}

}  // namespace lazuli
