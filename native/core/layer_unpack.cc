#include "layer_unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "inode_facts.h"
#include "syscalls.h"
#include "tree_removal.h"

namespace lazuli {
namespace {

constexpr size_t BUFFER_BYTES = 1U << 18;
constexpr int CREATE_FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
constexpr mode_t IMPLIED_MODE = 0755;
constexpr mode_t PRIVATE_FILE = 0600;
constexpr mode_t PRIVATE_FOLDER = 0700;
constexpr const char* OPAQUE = "trusted.overlay.opaque";

[[noreturn]] void failed(const char* call, std::string_view name) {
  throw SystemCallError(errno, call, std::string(name));
}

bool isFolder(int parent, const std::string& name) {
  struct stat facts;
  return fstatat(parent, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(facts.st_mode);
}

std::string joinedPath(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

}  // namespace

LayerUnpack::LayerUnpack(LayerUnpackOptions options)
    : options_(std::move(options)), folders_(options_.root), buffer_(BUFFER_BYTES) {
  for (const std::string& parent : options_.parents) parents_.push_back(std::make_unique<RootedFolders>(parent));
}

void LayerUnpack::add(const LayerEntry& entry) {
  if (entry.kind == LayerEntryKind::opaque) return clear(entry, parentOf(entry.name));
  const auto [folder, base] = splitPath(entry.name);
  const FoundFolder& parent = parentOf(folder);
  const std::string name(base);
  if (entry.kind == LayerEntryKind::whiteout) return hide(entry, parent.fd.get(), name);
  make(entry, parent, name);
  if (entry.kind == LayerEntryKind::folder) times_.push_back({std::string(entry.name), entry.mtime});
  if (!options_.isOverlay) made_.insert(joinedPath(parent.path, name));
}

void LayerUnpack::finish() {
  for (const FolderTime& time : times_) {
    std::string path = time.name;
    struct stat facts;
    try {
      const auto [folder, base] = splitPath(path);
      const FoundFolder parent = folders_.find(folder);
      const std::string name(base);
      const bool isThere = fstatat(parent.fd.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
      const std::array<timespec, 2> times{time.mtime, time.mtime};
      if (isThere && !S_ISLNK(facts.st_mode)) {
        // It may have become a file, which gets the time, too.
        if (utimensat(parent.fd.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) failed("utimensat", path);
        continue;
      }
      path = folders_.resolve(path);
      const auto [trueFolder, trueBase] = splitPath(path);
      const FileDescriptor trueParent = folders_.open(std::string(trueFolder), O_PATH);
      const std::string trueName = trueBase.empty() ? "." : std::string(trueBase);
      if (utimensat(trueParent.get(), trueName.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
        failed("utimensat", path);
      }
    } catch (const SystemCallError& error) {
      throw SystemCallError(error.code().value(), "utimensat", time.name);
    }
  }
}

const FoundFolder& LayerUnpack::parentOf(std::string_view path) {
  if (last_.fd && path == lastPath_) return last_;
  last_ = makeFolders(path);
  lastPath_ = path;
  return last_;
}

FoundFolder LayerUnpack::makeFolders(std::string_view path) {
  try {
    return folders_.find(path);
  } catch (const SystemCallError& error) {
    if (error.code().value() != ENOENT) throw SystemCallError(error.code().value(), "mkdir", std::string(path));
  }
  const std::string truePath = folders_.resolve(path);
  for (size_t at = 0; at <= truePath.size();) {
    const size_t end = std::min(truePath.find('/', at), truePath.size());
    const std::string folder = truePath.substr(0, end);
    const auto [above, name] = splitPath(folder);
    makeImplied(folders_.open(std::string(above), O_PATH).get(), std::string(name), folder);
    at = end + 1;
  }
  return {folders_.open(truePath, O_PATH), truePath};
}

void LayerUnpack::makeImplied(int parent, const std::string& name, const std::string& path) {
  if (mkdirat(parent, name.c_str(), PRIVATE_FOLDER) != 0) {
    if (errno == EEXIST && isFolder(parent, name)) return;
    if (errno == EEXIST) errno = ENOTDIR;
    failed("mkdir", path);
  }
  const FileDescriptor folder = folders_.open(path, O_RDONLY);
  if (fchmod(folder.get(), IMPLIED_MODE) != 0) failed("fchmod", path);
  const auto [above, base] = splitPath(path);
  for (const auto& below : parents_) {
    FoundFolder found;
    try {
      found = below->find(above);
    } catch (const SystemCallError& error) {
      if (error.code().value() == ENOENT) continue;
      if (error.code().value() == ENOTDIR) return;
      throw;
    }
    struct stat facts;
    const std::string lowerName(base);
    if (fstatat(found.fd.get(), lowerName.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      failed("fstatat", path);
    }
    // It was replaced, and what lies further below does not show.
    if (!S_ISDIR(facts.st_mode)) return;
    return copyFacts(folder.get(), found, lowerName);
  }
}

void LayerUnpack::copyFacts(int folder, const FoundFolder& parent, const std::string& name) {
  const FileDescriptor source(
      openat(parent.fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts;
  if (!source || fstat(source.get(), &facts) != 0) failed("openat", name);
  if (fchown(folder, facts.st_uid, facts.st_gid) != 0) failed("fchown", name);
  if (fchmod(folder, facts.st_mode & 07777) != 0) failed("fchmod", name);
  copyPlainXattrs(source.get(), folder);
  const std::array<timespec, 2> times{facts.st_atim, facts.st_mtim};
  if (futimens(folder, times.data()) != 0) failed("futimens", name);
}

void LayerUnpack::make(const LayerEntry& entry, const FoundFolder& parent, const std::string& name) {
  const int folder = parent.fd.get();
  switch (entry.kind) {
    case LayerEntryKind::file:
      return makeFile(entry, folder, name);
    case LayerEntryKind::folder:
      return makeFolder(entry, folder, name);
    case LayerEntryKind::hardlink:
      return makeLink(entry, folder, name);
    case LayerEntryKind::nothing:
      return remove(folder, name);
    default:
      return makeSpecial(entry, folder, name);
  }
}

void LayerUnpack::makeFile(const LayerEntry& entry, int parent, const std::string& name) {
  FileDescriptor file(openat(parent, name.c_str(), CREATE_FLAGS, PRIVATE_FILE));
  if (!file && errno == EEXIST) {
    remove(parent, name);
    file = FileDescriptor(openat(parent, name.c_str(), CREATE_FLAGS, PRIVATE_FILE));
  }
  if (!file) failed("open", entry.name);
  copyContent(entry, file.get());
  setEntryFacts(file.get(), entry);
}

void LayerUnpack::makeFolder(const LayerEntry& entry, int parent, const std::string& name) {
  if (mkdirat(parent, name.c_str(), PRIVATE_FOLDER) != 0) {
    if (errno != EEXIST) failed("mkdir", entry.name);
    if (!isFolder(parent, name)) {
      remove(parent, name);
      if (mkdirat(parent, name.c_str(), PRIVATE_FOLDER) != 0) failed("mkdir", entry.name);
    }
  }
  const FileDescriptor folder(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) failed("open", entry.name);
  setEntryFacts(folder.get(), entry);
}

void LayerUnpack::makeSpecial(const LayerEntry& entry, int parent, const std::string& name) {
  remove(parent, name);
  if (entry.kind == LayerEntryKind::symlink) {
    if (symlinkat(std::string(entry.target).c_str(), parent, name.c_str()) != 0) failed("symlink", entry.name);
  } else {
    const mode_t type = entry.kind == LayerEntryKind::character ? S_IFCHR
                        : entry.kind == LayerEntryKind::block   ? S_IFBLK
                                                                : S_IFIFO;
    const dev_t device = entry.kind == LayerEntryKind::fifo ? 0 : makedev(entry.major, entry.minor);
    if (mknodat(parent, name.c_str(), type | PRIVATE_FILE, device) != 0) failed("mknod", entry.name);
  }
  setNamedFacts(parent, name, entry);
}

void LayerUnpack::makeLink(const LayerEntry& entry, int parent, const std::string& name) {
  const auto [folder, base] = splitPath(entry.target);
  const std::string targetName(base);
  if (targetName.empty() || targetName == "." || targetName == "..") {
    errno = EPERM;
    failed("link", entry.name);
  }
  // Freed first, as in containerd: a link to itself fails.
  remove(parent, name);
  try {
    const FoundFolder found = folders_.find(folder);
    if (linkat(found.fd.get(), targetName.c_str(), parent, name.c_str(), 0) != 0) failed("link", entry.name);
  } catch (const SystemCallError& error) {
    throw SystemCallError(error.code().value(), "link", std::string(entry.name));
  }
  setNamedFacts(parent, name, entry);
}

void LayerUnpack::hide(const LayerEntry& entry, int parent, const std::string& name) {
  if (!options_.isOverlay) return remove(parent, name);
  if (mknodat(parent, name.c_str(), S_IFCHR, makedev(0, 0)) != 0) failed("mknod", entry.name);
  if (fchownat(parent, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) failed("fchownat", entry.name);
}

void LayerUnpack::clear(const LayerEntry& entry, const FoundFolder& folder) {
  if (!options_.isOverlay) return removeOthers(folder.path);
  const std::string path = "/proc/self/fd/" + std::to_string(folder.fd.get());
  if (setxattr(path.c_str(), OPAQUE, "y", 1, 0) != 0) failed("setxattr", entry.name);
}

void LayerUnpack::removeOthers(const std::string& start) {
  std::vector<std::string> waiting{start};
  while (!waiting.empty()) {
    const std::string path = std::move(waiting.back());
    waiting.pop_back();
    std::vector<std::string> names;
    FolderNames listed(folders_.open(path, O_RDONLY));
    for (const char* name = listed.next(); name != nullptr; name = listed.next()) names.emplace_back(name);
    for (const std::string& name : names) {
      const std::string child = joinedPath(path, name);
      if (!made_.contains(child)) remove(listed.fd(), name);
      else if (isFolder(listed.fd(), name)) waiting.push_back(child);
    }
  }
}

void LayerUnpack::remove(int parent, const std::string& name) {
  if (unlinkat(parent, name.c_str(), 0) == 0) {
    // What was a link may have led to the folder that is kept.
    lastPath_ = last_.path;
    return;
  }
  if (errno == ENOENT) return;
  if (errno != EISDIR) failed("unlink", name);
  removeTree(pathOfName(parent, name));
  // The entry that is being made keeps its own folder, which is not inside what went.
  lastPath_ = last_.path;
}

void LayerUnpack::copyContent(const LayerEntry& entry, int file) {
  uint64_t written = 0;
  for (const LayerEntry::Part& part : entry.parts) {
    for (uint64_t done = 0; done < part.length;) {
      const size_t wanted = std::min<uint64_t>(part.length - done, buffer_.size());
      const ssize_t count = pread(options_.archive, buffer_.data(), wanted, static_cast<off_t>(part.from + done));
      if (count < 0 && errno == EINTR) continue;
      if (count == 0) errno = EIO;
      if (count <= 0) failed("pread", entry.name);
      for (ssize_t at = 0; at < count;) {
        const ssize_t taken = pwrite(file, buffer_.data() + at, static_cast<size_t>(count - at),
                                     static_cast<off_t>(part.to + done) + at);
        if (taken < 0 && errno == EINTR) continue;
        if (taken < 0) failed("write", entry.name);
        at += taken;
      }
      done += static_cast<uint64_t>(count);
    }
    // A map may end in a part without bytes, which is a hole before it.
    if (part.length > 0) written = part.to + part.length;
  }
  if (written < entry.sizeBytes && ftruncate(file, static_cast<off_t>(entry.sizeBytes)) != 0) {
    failed("ftruncate", entry.name);
  }
}

void unpackLayer(const LayerUnpackOptions& options, std::span<const uint8_t> records, const CancelFlag& isCancelled) {
  LayerUnpack unpack(options);
  RecordReader reader(records);
  while (!reader.isAtEnd()) {
    throwIfCancelled(isCancelled);
    unpack.add(readLayerEntry(reader));
  }
  unpack.finish();
}

}  // namespace lazuli
