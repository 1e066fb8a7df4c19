#include "last_uses.h"

#include <ctime>

namespace lazuli {

LastUses::LastUses(uint64_t dataSize)
    : count_(static_cast<size_t>(std::min(dataSize / GROUP_BYTES + 1, GROUPS_MAX))),
      groups_(std::make_unique<std::atomic<uint64_t>[]>(count_)) {}

uint64_t LastUses::now() {
  timespec time{};
  // A few milliseconds coarse, and without a system call.
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000 + static_cast<uint64_t>(time.tv_nsec) / 1'000'000;
}

std::vector<double> LastUses::list() const {
  std::vector<double> times(count_);
  for (size_t group = 0; group < count_; group++) {
    times[group] = static_cast<double>(groups_[group].load(std::memory_order_relaxed));
  }
  return times;
}

}  // namespace lazuli
