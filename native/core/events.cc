#include "events.h"

#include <utility>

namespace lazuli {

void Events::miss(const Miss& miss) {
  std::unique_lock lock(mutex_);
  misses_.emplace(miss.read, miss);
  wakeOnce(lock);
}

void Events::interrupted(uint64_t read) {
  std::unique_lock lock(mutex_);
  if (misses_.erase(read) > 0) return;
  batch_.interrupts.push_back(read);
  wakeOnce(lock);
}

void Events::retract(uint64_t read) {
  const std::lock_guard lock(mutex_);
  misses_.erase(read);
}

void Events::damaged(const Damage& damage) {
  std::unique_lock lock(mutex_);
  batch_.damaged.push_back(damage);
  wakeOnce(lock);
}

void Events::refused(uint32_t layer, RefusalReason reason) {
  std::unique_lock lock(mutex_);
  refused_[{layer, reason}]++;
  wakeOnce(lock);
}

void Events::completed(Completion completion) {
  std::unique_lock lock(mutex_);
  batch_.completions.push_back(std::move(completion));
  wakeOnce(lock);
}

EventBatch Events::take() {
  const std::lock_guard lock(mutex_);
  isAwake_ = false;
  EventBatch batch = std::exchange(batch_, {});
  batch.misses.reserve(misses_.size());
  for (const auto& entry : misses_) batch.misses.push_back(entry.second);
  misses_.clear();
  for (const auto& [key, reads] : refused_) batch.refused.push_back({key.first, key.second, reads});
  refused_.clear();
  return batch;
}

void Events::wakeOnce(std::unique_lock<std::mutex>& lock) {
  if (std::exchange(isAwake_, true)) return;
  lock.unlock();
  wake_();
}

}  // namespace lazuli
