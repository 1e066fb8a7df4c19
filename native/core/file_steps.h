#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace lazuli {

enum class FileStepKind : uint8_t { makeFolder, setOwner, writeFile, rename, unlink, removeFolder, sync, syncFileSystem };

/** One change of a file system, by path. What a kind does not name is not looked at. */
struct FileStep {
  FileStepKind kind;
  std::string path;
  /** rename: the new path. writeFile: the content. */
  std::string text;
  /** makeFolder and writeFile: exactly these bits, whatever the umask is. */
  mode_t mode = 0;
  /** setOwner; a symbolic link is not followed. */
  uid_t uid = 0;
  gid_t gid = 0;
};

/**
 * Takes the steps in order, in one go on the calling thread: what would be a switch of threads for each is one for all.
 * Ends at the first that fails; those before it stay. unlink and removeFolder of nothing are fine.
 * @throws SystemCallError with the path as its detail
 */
void takeFileSteps(const std::vector<FileStep>& steps);

}  // namespace lazuli
