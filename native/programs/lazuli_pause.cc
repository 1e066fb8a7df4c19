// The first process of a pod: holds its namespaces, takes the exit codes of orphans when the pod shares a process
// namespace, and ends when it is told to. Static, so that a pod needs no image.
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

namespace {

void End(int) { _exit(0); }

void Reap(int) {
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

bool Handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  return sigaction(signal, &action, nullptr) == 0;
}

}  // namespace

int main() {
  if (!Handle(SIGINT, End, 0) || !Handle(SIGTERM, End, 0) || !Handle(SIGCHLD, Reap, SA_NOCLDSTOP)) return 1;
  for (;;) pause();
}
