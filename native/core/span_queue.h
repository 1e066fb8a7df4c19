#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace lazuli {

/** Items on their way from one thread to another; each has a cost, and their sum is bounded. */
template <typename Item>
class SpanQueue {
 public:
  explicit SpanQueue(size_t costMax) : costMax_(costMax) {}

  /** Waits for room; one item always has it. False once the queue is cancelled: the item is gone. */
  bool push(Item item, size_t cost) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return isCancelled_ || items_.empty() || cost_ + cost <= costMax_; });
    return add(std::move(item), cost);
  }

  /** Takes the item, room or not: for one who asks hasRoom() before, and must not wait. */
  bool force(Item item, size_t cost) {
    const std::lock_guard lock(mutex_);
    return add(std::move(item), cost);
  }

  bool hasRoom() const {
    const std::lock_guard lock(mutex_);
    return cost_ < costMax_;
  }

  /** Waits until it is half empty, so that who fills it wakes seldom; or cancelled. */
  void waitForRoom() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return isCancelled_ || cost_ <= costMax_ / 2; });
  }

  /** Waits for an item. None once the queue is closed and empty, or cancelled. */
  std::optional<Item> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return isCancelled_ || isClosed_ || !items_.empty(); });
    if (isCancelled_ || items_.empty()) return std::nullopt;
    std::pair<Item, size_t> first = std::move(items_.front());
    items_.pop_front();
    cost_ -= first.second;
    changed_.notify_all();
    return std::move(first.first);
  }

  /** No more items follow. */
  void close() {
    const std::lock_guard lock(mutex_);
    isClosed_ = true;
    changed_.notify_all();
  }

  /** Drops all items, and those that follow. */
  void cancel() {
    const std::lock_guard lock(mutex_);
    isCancelled_ = true;
    cost_ = 0;
    items_.clear();
    changed_.notify_all();
  }

 private:
  bool add(Item item, size_t cost) {
    if (isCancelled_) return false;
    items_.emplace_back(std::move(item), cost);
    cost_ += cost;
    changed_.notify_all();
    return true;
  }

  const size_t costMax_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Item, size_t>> items_;
  size_t cost_ = 0;
  bool isClosed_ = false;
  bool isCancelled_ = false;
};

}  // namespace lazuli
