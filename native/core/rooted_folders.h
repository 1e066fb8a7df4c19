#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "file_descriptor.h"

namespace lazuli {

/** A folder that was found: open only as a place for names (O_PATH), with its true path below the root. */
struct FoundFolder {
  FileDescriptor fd;
  /** Without links; "" is the root. */
  std::string path;
};

/**
 * Folders below a root that strangers name. Symbolic links lead inside the root, absolute ones from it, and ".." ends at
 * it, as containerd's fs.RootPath has it; the kernel opens what was found without following a link, so that nothing that
 * changes meanwhile leads out.
 */
class RootedFolders {
 public:
  /** @throws SystemCallError */
  explicit RootedFolders(const std::string& root);

  int root() const { return root_.get(); }
  /** @throws SystemCallError: ENOENT, ENOTDIR, ELOOP */
  FoundFolder find(std::string_view path) const;
  /** The true path, of which the last parts may not be there. @throws SystemCallError: ELOOP, ENOTDIR */
  std::string resolve(std::string_view path) const;
  /** A folder by its true path. @throws SystemCallError */
  FileDescriptor open(const std::string& truePath, int flags) const;

 private:
  /** False where a part is missing or a link. */
  bool tryOpen(const std::string& path, FileDescriptor& folder) const;

  FileDescriptor root_;
};

/** Without ".", "..", and empty parts; ".." at the start is dropped. */
std::string cleanedPath(std::string_view path);
/** Before and behind the last slash. */
std::pair<std::string_view, std::string_view> splitPath(std::string_view path);
/** A path for calls that know no folder, of a name in one. */
std::string pathOfName(int folder, const std::string& name);

}  // namespace lazuli
