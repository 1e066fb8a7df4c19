#include "idmap_tree.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "idmap_xattrs.h"
#include "syscalls.h"

namespace lazuli {
namespace {

/** The kernel's largest list of names and largest value (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
constexpr size_t ATTRIBUTE_BYTES_MAX = 65536;
constexpr const char* CAPABILITY = "security.capability";
constexpr std::array<const char*, 2> ACCESS_LISTS = {"system.posix_acl_access", "system.posix_acl_default"};

bool isCapability(const std::string& name) {
  return name == CAPABILITY;
}

bool isAccessList(const std::string& name) {
  return name == ACCESS_LISTS[0] || name == ACCESS_LISTS[1];
}

/** The attributes that hold ids, among a thing's. `path` isn't followed. */
std::vector<std::string> attributesWithIds(const std::string& path) {
  thread_local std::vector<char> list(ATTRIBUTE_BYTES_MAX);
  const ssize_t length = llistxattr(path.c_str(), list.data(), list.size());
  if (length < 0 && errno == ENOTSUP) return {};
  if (length < 0) throw SystemCallError(errno, "llistxattr", path);
  std::vector<std::string> names;
  for (ssize_t start = 0; start < length;) {
    std::string name(list.data() + start);
    start += static_cast<ssize_t>(name.size()) + 1;
    if (isCapability(name) || isAccessList(name)) names.push_back(std::move(name));
  }
  return names;
}

std::vector<uint8_t> attribute(const std::string& path, const std::string& name) {
  std::vector<uint8_t> value(ATTRIBUTE_BYTES_MAX);
  const ssize_t length = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (length < 0) throw SystemCallError(errno, "lgetxattr", name);
  value.resize(static_cast<size_t>(length));
  return value;
}

}  // namespace

/** A name in an open folder; the tree's root is "." in itself. */
struct TreeRemap::Entry {
  int folder;
  const char* name;
  struct stat facts;

  /** For calls that know no folder's descriptor. */
  std::string path() const { return "/proc/self/fd/" + std::to_string(folder) + "/" + name; }
};

TreeRemap::TreeRemap(IdRanges uids, IdRanges gids, const CancelFlag& isCancelled)
    : uids_(std::move(uids)), gids_(std::move(gids)), isCancelled_(isCancelled) {}

uint64_t TreeRemap::run(const std::string& root) {
  const Tree tree(root);
  std::vector<std::string> folders{""};
  {
    const FileDescriptor top = tree.openFolder("");
    Entry entry{top.get(), ".", {}};
    if (fstat(top.get(), &entry.facts) != 0) throw SystemCallError(errno, "fstat", root);
    remapEntry(entry);
  }
  while (!folders.empty()) {
    const std::string path = std::move(folders.back());
    folders.pop_back();
    remapFolder(tree, path, folders);
  }
  return changed_;
}

void TreeRemap::remapFolder(const Tree& tree, const std::string& path, std::vector<std::string>& folders) {
  // All names first: a name that is copied up meanwhile may show twice in a listing that is still read.
  std::vector<std::string> names;
  FolderNames folder(tree.openFolder(path));
  while (const char* name = folder.next()) names.emplace_back(name);
  for (const std::string& name : names) {
    throwIfCancelled(isCancelled_);
    Entry entry{folder.fd(), name.c_str(), {}};
    if (fstatat(entry.folder, entry.name, &entry.facts, AT_SYMLINK_NOFOLLOW) != 0) {
      throw SystemCallError(errno, "fstatat", joined(path, entry.name));
    }
    try {
      remapEntry(entry);
    } catch (const SystemCallError& error) {
      throw SystemCallError(error.code().value(), error.call(), joined(path, entry.name) + ": " + error.detail());
    }
    if (S_ISDIR(entry.facts.st_mode)) folders.push_back(joined(path, entry.name));
  }
}

void TreeRemap::remapEntry(const Entry& entry) {
  const struct stat& facts = entry.facts;
  const bool hasNames = facts.st_nlink > 1 && !S_ISDIR(facts.st_mode);
  if (hasNames && mapped_.contains(InodeKey(facts))) return touchName(entry);
  const auto uid = uids_.map(facts.st_uid);
  const auto gid = gids_.map(facts.st_gid);
  if (!uid.has_value() || !gid.has_value()) {
    const std::string id = uid.has_value() ? "gid " + std::to_string(facts.st_gid) : "uid " + std::to_string(facts.st_uid);
    throw SystemCallError(EOVERFLOW, "fchownat", id + " has no place in the mapping");
  }
  const std::vector<std::string> attributes = S_ISLNK(facts.st_mode) ? std::vector<std::string>() : attributesWithIds(entry.path());
  remapAttributes(entry, attributes);
  changed_++;
  if (!hasNames) return;
  // On overlayfs this name is another inode now, and the other names still show the old one.
  struct stat after;
  if (fstatat(entry.folder, entry.name, &after, AT_SYMLINK_NOFOLLOW) != 0) throw SystemCallError(errno, "fstatat");
  if (InodeKey(after) == InodeKey(facts)) mapped_.insert(InodeKey(facts));
}

void TreeRemap::touchName(const Entry& entry) {
  const struct stat& facts = entry.facts;
  const int result = S_ISLNK(facts.st_mode)
                         ? fchownat(entry.folder, entry.name, facts.st_uid, facts.st_gid, AT_SYMLINK_NOFOLLOW)
                         : fchmodat(entry.folder, entry.name, facts.st_mode & 07777, 0);
  if (result != 0) throw SystemCallError(errno, "fchmodat");
}

void TreeRemap::remapAttributes(const Entry& entry, const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, std::vector<uint8_t>>> values;
  for (const std::string& name : names) {
    const auto value = attribute(entry.path(), name);
    auto mapped = isCapability(name) ? mapCapability(value, uids_) : mapAccessList(value, uids_, gids_);
    if (!mapped.has_value()) throw SystemCallError(EOVERFLOW, "lsetxattr", name + " has no place in the mapping");
    values.emplace_back(name, *std::move(mapped));
  }
  const uint32_t uid = *uids_.map(entry.facts.st_uid);
  const uint32_t gid = *gids_.map(entry.facts.st_gid);
  if (fchownat(entry.folder, entry.name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0) throw SystemCallError(errno, "fchownat");
  for (const auto& [name, value] : values) {
    if (lsetxattr(entry.path().c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      throw SystemCallError(errno, "lsetxattr", name);
    }
  }
  // chown takes these bits away (chown(2)), and so may a new access list.
  const bool isPrivileged = S_ISREG(entry.facts.st_mode) && (entry.facts.st_mode & (S_ISUID | S_ISGID)) != 0;
  if (isPrivileged && fchmodat(entry.folder, entry.name, entry.facts.st_mode & 07777, 0) != 0) {
    throw SystemCallError(errno, "fchmodat");
  }
}

}  // namespace lazuli
