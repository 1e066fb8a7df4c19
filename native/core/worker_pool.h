#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lazuli {

enum class Priority : uint8_t { urgent, ordinary };

/**
 * Threads that decode and verify. The queue is bounded by those who post: one job a waiting read (waitingReadsMax), and
 * the ingests and verifies whose bytes JavaScript holds.
 */
class WorkerPool {
 public:
  /** A job must not throw. It is called once: by a worker, or with true by stop(). */
  using Job = std::function<void(bool isCancelled)>;

  explicit WorkerPool(size_t threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /** Jobs that readers wait for go first. Once stopped, the job is cancelled at once. */
  void post(Priority priority, Job job);
  /** From now on at most so many jobs run at once; those that run go on. */
  void limit(size_t workers);
  /** Waits for the jobs that run and cancels the others. */
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> urgent_;
  std::deque<Job> ordinary_;
  std::vector<std::thread> threads_;
  size_t workersMax_;
  size_t running_ = 0;
  bool isStopped_ = false;
};

}  // namespace lazuli
