#include "file_steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "file_descriptor.h"
#include "syscalls.h"

namespace lazuli {
namespace {

[[noreturn]] void failed(const char* call, const FileStep& step) { throw SystemCallError(errno, call, step.path); }

FileDescriptor opened(const FileStep& step, int flags) {
  FileDescriptor file(open(step.path.c_str(), flags | O_CLOEXEC, step.mode));
  if (!file) failed("open", step);
  return file;
}

void makeFolder(const FileStep& step) {
  if (mkdir(step.path.c_str(), step.mode) != 0) failed("mkdir", step);
  if (chmod(step.path.c_str(), step.mode) != 0) failed("chmod", step);
}

void writeFile(const FileStep& step) {
  const FileDescriptor file = opened(step, O_WRONLY | O_CREAT | O_TRUNC);
  if (fchmod(file.get(), step.mode) != 0) failed("fchmod", step);
  for (size_t written = 0; written < step.text.size();) {
    const ssize_t count = write(file.get(), step.text.data() + written, step.text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) failed("write", step);
    written += static_cast<size_t>(count);
  }
}

void take(const FileStep& step) {
  switch (step.kind) {
    case FileStepKind::makeFolder:
      return makeFolder(step);
    case FileStepKind::setOwner:
      if (lchown(step.path.c_str(), step.uid, step.gid) != 0) failed("lchown", step);
      return;
    case FileStepKind::writeFile:
      return writeFile(step);
    case FileStepKind::rename:
      if (rename(step.path.c_str(), step.text.c_str()) != 0) failed("rename", step);
      return;
    case FileStepKind::unlink:
      if (unlink(step.path.c_str()) != 0 && errno != ENOENT) failed("unlink", step);
      return;
    case FileStepKind::removeFolder:
      if (rmdir(step.path.c_str()) != 0 && errno != ENOENT) failed("rmdir", step);
      return;
    case FileStepKind::sync:
      if (fsync(opened(step, O_RDONLY).get()) != 0) failed("fsync", step);
      return;
    case FileStepKind::syncFileSystem:
      if (syncfs(opened(step, O_RDONLY).get()) != 0) failed("syncfs", step);
      return;
  }
}

}  // namespace

void takeFileSteps(const std::vector<FileStep>& steps) {
  for (const FileStep& step : steps) take(step);
}

}  // namespace lazuli
