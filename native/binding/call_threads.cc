#include "call_threads.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <thread>
#include <utility>

#include "../core/syscalls.h"

namespace lazuli {

CallThreads& CallThreads::instance() {
  static auto* threads = new CallThreads();
  return *threads;
}

void CallThreads::run(std::function<void()> call, const char* name) {
  const std::lock_guard lock(mutex_);
  if (running_ == CALL_THREADS_MAX) {
    if (queue_.size() == CALL_QUEUE_MAX) throw SystemCallError(EAGAIN, name, "too many calls wait");
    queue_.push_back(std::move(call));
    return;
  }
  // Signals are for the main thread: none may interrupt a mount.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([this, first = std::move(call)] { work(first); }).detach();
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw SystemCallError(error.code().value(), "clone");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  running_++;
}

void CallThreads::work(const std::function<void()>& first) {
  first();
  while (true) {
    std::function<void()> next;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) {
        running_--;
        return;
      }
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    next();
  }
}

}  // namespace lazuli
