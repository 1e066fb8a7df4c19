#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fuse_session.h"

namespace lazuli {

/** True when the thread has a signal that ends it. False when that can't be told. */
bool isBeingKilled(pid_t thread);

/**
 * Waiting reads whose thread got a signal. The kernel sends INTERRUPT for any signal, a timer's or a runtime's own too,
 * and a read of a file must not fail for those, as it does not on a local disk: above EROFS it would be EIO. But a thread
 * that is being killed waits for its answer, and the kernel does not say INTERRUPT twice. So such reads are looked at
 * again and again until they have their answer. Bounded by the reads that wait.
 */
class InterruptWatch {
 public:
  struct Watched {
    std::shared_ptr<FuseSession> session;
    uint64_t unique;
    pid_t thread;
  };

  struct Parts {
    std::function<bool(const Watched&)> isWaiting;
    /** Called from the watch's thread, without its lock. */
    std::function<void(const Watched&)> interrupt;
  };

  explicit InterruptWatch(Parts parts);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  void add(Watched watched);

 private:
  void run();
  std::vector<Watched> settled(std::vector<Watched> all) const;

  const Parts parts_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Watched> added_;
  bool isStopped_ = false;
  std::thread thread_;
};

}  // namespace lazuli
