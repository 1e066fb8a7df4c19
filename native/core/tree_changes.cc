#include "tree_changes.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <utility>

#include "record_bytes.h"
#include "rooted_folders.h"
#include "syscalls.h"

namespace lazuli {
namespace {

constexpr const char* CAPABILITY = "security.capability";
constexpr size_t CAPABILITY_BYTES_MAX = 64;
constexpr size_t COMPARED_BYTES = 1U << 16;

using Facts = std::optional<struct stat>;

/** One folder of a tree, if it is there. */
struct Side {
  FileDescriptor folder;

  Facts facts(const std::string& name) const {
    if (!folder) return std::nullopt;
    struct stat found;
    if (fstatat(folder.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) return found;
    if (errno == ENOENT) return std::nullopt;
    throw SystemCallError(errno, "lstat", name);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    if (!folder) return found;
    FolderNames listed(FileDescriptor(openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    for (const char* name = listed.next(); name != nullptr; name = listed.next()) found.emplace_back(name);
    return found;
  }

  std::string capability(const std::string& name) const {
    std::array<char, CAPABILITY_BYTES_MAX> value;
    const ssize_t length = lgetxattr(pathOfName(folder.get(), name).c_str(), CAPABILITY, value.data(), value.size());
    if (length >= 0) return {value.data(), static_cast<size_t>(length)};
    if (errno == ENODATA || errno == ENOTSUP) return "";
    throw SystemCallError(errno, "lgetxattr", name);
  }

  std::string target(const std::string& name) const {
    std::array<char, PATH_MAX> text;
    const ssize_t length = readlinkat(folder.get(), name.c_str(), text.data(), text.size());
    if (length < 0) throw SystemCallError(errno, "readlinkat", name);
    return {text.data(), static_cast<size_t>(length)};
  }
};

struct Triple {
  Side lower;
  Side upper;
  Side guide;
};

bool isFolder(const Facts& facts) { return facts && S_ISDIR(facts->st_mode); }

size_t readWhole(int file, std::vector<char>& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = read(file, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemCallError(errno, "read");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

class Changes {
 public:
  Changes(const TreeChangesOptions& options, const CancelFlag& isCancelled)
      : lower_(options.lower), upper_(options.upper), isCancelled_(isCancelled) {
    if (!options.guide.empty()) guide_.emplace(options.guide);
  }

  std::string run() {
    std::vector<Folder> stack;
    stack.push_back(opened("", true, guide_.has_value()));
    while (!stack.empty()) {
      throwIfCancelled(isCancelled_);
      Folder& folder = stack.back();
      if (folder.next == folder.names.size()) {
        // Nothing below it changed.
        if (folder.isPassed && folder.recordEnd == records_.bytes().size()) {
          records_.bytes().resize(folder.recordStart);
        }
        stack.pop_back();
        continue;
      }
      const std::string name = folder.names[folder.next++];
      std::optional<Folder> child = compared(folder, name);
      if (records_.bytes().size() > CHANGE_BYTES_MAX) throw SystemCallError(E2BIG, "walk");
      if (child) stack.push_back(std::move(*child));
    }
    return std::move(records_.bytes());
  }

 private:
  struct Folder {
    std::string path;
    bool hasLower;
    bool isGuided;
    std::vector<std::string> names;
    size_t next = 0;
    /** Its own record is one of a folder that is passed. */
    bool isPassed = false;
    size_t recordStart = 0;
    size_t recordEnd = 0;
  };

  /** Folders are opened again for each name's sake only while they are on top: a deep tree holds no descriptors. */
  const Triple& at(const Folder& folder) {
    if (current_ && currentPath_ == folder.path && currentHasLower_ == folder.hasLower) return *current_;
    Triple triple;
    triple.upper.folder = upper_.openFolder(folder.path);
    if (folder.hasLower) triple.lower.folder = lower_.openFolder(folder.path);
    if (folder.isGuided) triple.guide.folder = guide_->openFolder(folder.path);
    current_ = std::move(triple);
    currentPath_ = folder.path;
    currentHasLower_ = folder.hasLower;
    return *current_;
  }

  Folder opened(const std::string& path, bool hasLower, bool isGuided) {
    Folder folder{.path = path, .hasLower = hasLower, .isGuided = isGuided, .names = {}};
    const Triple& sides = at(folder);
    if (isGuided) {
      folder.names = sides.guide.names();
    } else {
      folder.names = sides.upper.names();
      const std::vector<std::string> below = sides.lower.names();
      folder.names.insert(folder.names.end(), below.begin(), below.end());
    }
    std::sort(folder.names.begin(), folder.names.end());
    folder.names.erase(std::unique(folder.names.begin(), folder.names.end()), folder.names.end());
    return folder;
  }

  std::optional<Folder> compared(const Folder& folder, const std::string& name) {
    const Triple& sides = at(folder);
    const Facts lower = sides.lower.facts(name);
    const Facts upper = sides.upper.facts(name);
    const std::string path = joined(folder.path, name.c_str());
    if (!upper) {
      if (lower) write(ChangeKind::deleted, *lower, path, sides, name);
      return std::nullopt;
    }
    const size_t start = records_.bytes().size();
    bool isPassed = false;
    if (!lower) {
      write(ChangeKind::added, *upper, path, sides, name);
    } else if (!isSame(sides, name, *lower, *upper)) {
      write(ChangeKind::modified, *upper, path, sides, name);
    } else if (isFolder(upper)) {
      write(ChangeKind::passed, *upper, path, sides, name);
      isPassed = true;
    } else if (upper->st_nlink > 1) {
      write(ChangeKind::linked, *upper, path, sides, name);
    }
    if (!isFolder(upper)) return std::nullopt;
    const size_t end = records_.bytes().size();
    const bool isGuided = folder.isGuided && isFolder(lower) && isMerged(sides.guide, name);
    Folder child = opened(path, isFolder(lower), isGuided);
    child.isPassed = isPassed;
    child.recordStart = start;
    child.recordEnd = end;
    return child;
  }

  /** The folder of the upper one shows what is below it at the same path, too. */
  static bool isMerged(const Side& guide, const std::string& name) {
    if (!isFolder(guide.facts(name))) return false;
    const std::string path = pathOfName(guide.folder.get(), name);
    for (const char* mark : {"trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque",
                             "user.overlay.redirect"}) {
      if (lgetxattr(path.c_str(), mark, nullptr, 0) >= 0) return false;
      if (errno != ENODATA && errno != ENOTSUP) throw SystemCallError(errno, "lgetxattr", name);
    }
    return true;
  }

  bool isSame(const Triple& sides, const std::string& name, const struct stat& lower, const struct stat& upper) {
    if (lower.st_dev == upper.st_dev && lower.st_ino == upper.st_ino) return true;
    if (lower.st_mode != upper.st_mode || lower.st_uid != upper.st_uid || lower.st_gid != upper.st_gid ||
        lower.st_rdev != upper.st_rdev) {
      return false;
    }
    if (sides.lower.capability(name) != sides.upper.capability(name)) return false;
    if (S_ISDIR(upper.st_mode)) return true;
    if (lower.st_size != upper.st_size || lower.st_mtim.tv_sec != upper.st_mtim.tv_sec) return false;
    if (lower.st_mtim.tv_nsec != 0 || upper.st_mtim.tv_nsec != 0) {
      return lower.st_mtim.tv_nsec == upper.st_mtim.tv_nsec;
    }
    if (S_ISLNK(upper.st_mode)) return sides.lower.target(name) == sides.upper.target(name);
    return !S_ISREG(upper.st_mode) || upper.st_size == 0 || hasSameContent(sides, name);
  }

  bool hasSameContent(const Triple& sides, const std::string& name) {
    const FileDescriptor lower(openat(sides.lower.folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    const FileDescriptor upper(openat(sides.upper.folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!lower || !upper) throw SystemCallError(errno, "openat", name);
    std::vector<char> left(COMPARED_BYTES);
    std::vector<char> right(COMPARED_BYTES);
    while (true) {
      throwIfCancelled(isCancelled_);
      const size_t count = readWhole(lower.get(), left);
      if (readWhole(upper.get(), right) != count) return false;
      if (!std::equal(left.begin(), left.begin() + static_cast<ptrdiff_t>(count), right.begin())) return false;
      if (count < COMPARED_BYTES) return true;
    }
  }

  void write(ChangeKind kind, const struct stat& facts, const std::string& path, const Triple& sides,
             const std::string& name) {
    const bool isThere = kind != ChangeKind::deleted;
    records_.byte(static_cast<uint8_t>(kind));
    for (const uint32_t word : {static_cast<uint32_t>(facts.st_mode), static_cast<uint32_t>(facts.st_uid),
                                static_cast<uint32_t>(facts.st_gid), static_cast<uint32_t>(major(facts.st_rdev)),
                                static_cast<uint32_t>(minor(facts.st_rdev)), static_cast<uint32_t>(facts.st_nlink)}) {
      records_.word(word);
    }
    records_.number64(facts.st_dev);
    records_.number64(facts.st_ino);
    records_.number64(static_cast<uint64_t>(facts.st_size));
    records_.number64(static_cast<uint64_t>(facts.st_mtim.tv_sec));
    records_.word(static_cast<uint32_t>(facts.st_mtim.tv_nsec));
    records_.text(path);
    records_.text(isThere && S_ISLNK(facts.st_mode) ? sides.upper.target(name) : "");
    records_.text(isThere ? sides.upper.capability(name) : "");
  }

  Tree lower_;
  Tree upper_;
  std::optional<Tree> guide_;
  const CancelFlag& isCancelled_;
  RecordWriter records_;
  std::optional<Triple> current_;
  std::string currentPath_;
  bool currentHasLower_ = false;
};

}  // namespace

std::string treeChanges(const TreeChangesOptions& options, const CancelFlag& isCancelled) {
  return Changes(options, isCancelled).run();
}

}  // namespace lazuli
