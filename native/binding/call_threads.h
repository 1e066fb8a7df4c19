#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace lazuli {

/** System calls that may wait at once; beyond it they stand in a queue in the order of their calls. */
constexpr size_t CALL_THREADS_MAX = 32;
/** System calls that may stand in the queue; beyond it a call fails with EAGAIN. */
constexpr size_t CALL_QUEUE_MAX = 8192;

/**
 * Threads for calls that may wait for as long as a mount's server or a socket's peer likes. Not libuv's pool: four
 * waiting mounts would fill it, and what they wait for may need the pool. Lives for ever, because a thread may still
 * wait in the kernel when the process exits.
 */
class CallThreads {
 public:
  static CallThreads& instance();

  /** @throws SystemCallError with `name` where too many wait */
  void run(std::function<void()> call, const char* name);

 private:
  void work(const std::function<void()>& first);

  std::mutex mutex_;
  size_t running_ = 0;
  std::deque<std::function<void()>> queue_;
};

}  // namespace lazuli
