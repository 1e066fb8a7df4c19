#include "touch_log.h"

#include <algorithm>
#include <ctime>
#include <new>
#include <utility>

namespace lazuli {
namespace {

constexpr size_t WORD_BITS = 64;

}  // namespace

uint64_t monotonicNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void TouchLog::start(size_t units, size_t max) {
  const std::lock_guard lock(mutex_);
  touched_.assign((units + WORD_BITS - 1) / WORD_BITS, 0);
  max_ = max;
  isOn_.store(true, std::memory_order_relaxed);
}

void TouchLog::stop() {
  const std::lock_guard lock(mutex_);
  isOn_.store(false, std::memory_order_relaxed);
  max_ = 0;
  touched_ = {};
  touches_ = {};
}

std::vector<Touch> TouchLog::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(touches_, {});
}

void TouchLog::note(UnitRange units, uint64_t at, std::span<const uint32_t> missed) noexcept {
  const uint64_t waited = missed.empty() ? 0 : std::max<uint64_t>(1, monotonicNanoseconds() - at);
  const std::lock_guard lock(mutex_);
  const size_t end = std::min(units.end, touched_.size() * WORD_BITS);
  for (size_t unit = units.first; unit < end; unit++) {
    uint64_t& word = touched_[unit / WORD_BITS];
    const uint64_t bit = 1ULL << (unit % WORD_BITS);
    if ((word & bit) != 0) continue;
    word |= bit;
    if (touches_.size() >= max_) continue;
    const bool hasWaited = std::binary_search(missed.begin(), missed.end(), static_cast<uint32_t>(unit));
    try {
      touches_.push_back({unit, at, hasWaited ? waited : 0});
    } catch (const std::bad_alloc&) {
      // The read is answered all the same; the trace ends with what it has.
      max_ = touches_.size();
      return;
    }
  }
}

}  // namespace lazuli
