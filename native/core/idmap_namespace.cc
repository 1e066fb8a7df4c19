#include "idmap_namespace.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "syscalls.h"

namespace lazuli {
namespace {

constexpr long SYS_CLONE3 = 435;
constexpr long SYS_CLOSE_RANGE = 436;

/** Waits to be killed. After a copy of one thread out of many only system calls are safe. */
[[noreturn]] void idle(pid_t parent) {
  // The process may hold no descriptor of ours, least of all /dev/fuse, and may not outlive us.
  syscall(SYS_CLOSE_RANGE, 0U, UINT_MAX, 0U);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  while (true) pause();
}

/** A process in a user namespace of its own, for as long as this lives. */
class IdleProcess {
 public:
  IdleProcess() {
    // No exit signal: the process isn't to be seen by anybody who waits for children.
    clone_args how{};
    how.flags = CLONE_NEWUSER;
    const pid_t self = getpid();
    const long made = syscall(SYS_CLONE3, &how, sizeof how);
    if (made < 0) throw SystemCallError(errno, "clone3", "a user namespace");
    if (made == 0) idle(self);
    pid_ = static_cast<pid_t>(made);
  }
  IdleProcess(const IdleProcess&) = delete;
  IdleProcess& operator=(const IdleProcess&) = delete;
  ~IdleProcess() {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }

  std::string file(const char* name) const { return "/proc/" + std::to_string(pid_) + "/" + name; }

 private:
  pid_t pid_ = -1;
};

/** The kernel takes a map in one write only. */
void writeMap(const std::string& path, const std::string& map) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) throw SystemCallError(errno, "open", path);
  const ssize_t written = write(file.get(), map.data(), map.size());
  if (written != static_cast<ssize_t>(map.size())) throw SystemCallError(written < 0 ? errno : EIO, "write", "the id map");
}

}  // namespace

FileDescriptor makeUserNamespace(const std::string& uidMap, const std::string& gidMap) {
  const IdleProcess process;
  writeMap(process.file("uid_map"), uidMap);
  writeMap(process.file("gid_map"), gidMap);
  const std::string path = process.file("ns/user");
  FileDescriptor space(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space) throw SystemCallError(errno, "open", path);
  return space;
}

}  // namespace lazuli
