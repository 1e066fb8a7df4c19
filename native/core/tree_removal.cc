#include "tree_removal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "folder_walk.h"
#include "syscalls.h"

namespace lazuli {
namespace {

/** False where it is a folder. */
bool isUnlinked(int folder, const char* name) {
  if (unlinkat(folder, name, 0) == 0 || errno == ENOENT) return true;
  if (errno == EISDIR) return false;
  throw SystemCallError(errno, "unlinkat", name);
}

void removeFolder(int parent, const std::string& name) {
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
  throw SystemCallError(errno, "rmdir", name);
}

/** Empties a folder but for the folders in it, which are added to `folders`. */
void unlinkFiles(const Tree& tree, const std::string& path, std::vector<std::string>& folders) {
  std::optional<FolderNames> names;
  try {
    names.emplace(tree.openFolder(path));
  } catch (const SystemCallError& failed) {
    if (failed.code().value() == ENOENT) return;
    throw;
  }
  for (const char* name = names->next(); name != nullptr; name = names->next()) {
    if (!isUnlinked(names->fd(), name)) folders.push_back(joined(path, name));
  }
}

}  // namespace

void removeTree(const std::string& root) {
  std::optional<Tree> tree;
  try {
    tree.emplace(root);
  } catch (const SystemCallError& failed) {
    if (failed.code().value() == ENOENT) return;
    throw;
  }
  // Each folder stands behind the one that holds it: from the back they are empty when it is their turn.
  std::vector<std::string> folders{""};
  for (size_t next = 0; next < folders.size(); next++) {
    const std::string path = folders[next];
    unlinkFiles(*tree, path, folders);
  }
  while (folders.size() > 1) {
    const std::string path = std::move(folders.back());
    folders.pop_back();
    const size_t slash = path.rfind('/');
    const bool isTop = slash == std::string::npos;
    try {
      const FileDescriptor parent = tree->openFolder(isTop ? "" : path.substr(0, slash));
      removeFolder(parent.get(), isTop ? path : path.substr(slash + 1));
    } catch (const SystemCallError& failed) {
      // Another call has come first.
      if (failed.code().value() != ENOENT) throw;
    }
  }
  if (rmdir(root.c_str()) != 0 && errno != ENOENT) throw SystemCallError(errno, "rmdir", root);
}

}  // namespace lazuli
