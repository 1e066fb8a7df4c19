#include "worker_pool.h"

#include <pthread.h>

#include <utility>

namespace lazuli {

WorkerPool::WorkerPool(size_t threads) : workersMax_(threads) {
  for (size_t index = 0; index < threads; index++) {
    threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "lazuli-worker");
      run();
    });
  }
}

WorkerPool::~WorkerPool() {
  stop();
}

void WorkerPool::post(Priority priority, Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (!isStopped_) {
      (priority == Priority::urgent ? urgent_ : ordinary_).push_back(std::move(job));
      changed_.notify_one();
      return;
    }
  }
  job(true);
}

void WorkerPool::limit(size_t workers) {
  const std::lock_guard lock(mutex_);
  workersMax_ = workers;
  changed_.notify_all();
}

void WorkerPool::run() {
  for (bool isFirst = true;; isFirst = false) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      if (!isFirst) {
        running_--;
        // Who waits for the place may have been woken while there was none.
        if (!urgent_.empty() || !ordinary_.empty()) changed_.notify_one();
      }
      changed_.wait(lock, [this] {
        return isStopped_ || (running_ < workersMax_ && !(urgent_.empty() && ordinary_.empty()));
      });
      if (isStopped_) return;
      std::deque<Job>& queue = urgent_.empty() ? ordinary_ : urgent_;
      job = std::move(queue.front());
      queue.pop_front();
      running_++;
    }
    job(false);
  }
}

void WorkerPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (isStopped_) return;
    isStopped_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  for (std::deque<Job>* queue : {&urgent_, &ordinary_}) {
    for (Job& job : *queue) job(true);
    queue->clear();
  }
}

}  // namespace lazuli
