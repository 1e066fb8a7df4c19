#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "unit_table.h"

namespace lazuli {

/** Nanoseconds of CLOCK_MONOTONIC, which Node's hrtime reads too. */
uint64_t monotonicNanoseconds();

/** The first read of a unit since the log was started. */
struct Touch {
  uint64_t unit;
  /** When the read came, and how long it waited for the unit; 0: its bytes were here. Nanoseconds. */
  uint64_t at;
  uint64_t waited;
};

/** Which units of a layer reads touch first, while somebody wants to know. Off, it costs the load of a flag. */
class TouchLog {
 public:
  bool isOn() const { return isOn_.load(std::memory_order_relaxed); }

  /** Begins, or begins anew: every unit counts as untouched again. What was noted and not taken yet stays. */
  void start(size_t units, size_t max);
  /** Forgets everything. */
  void stop();
  /** What was noted since the last time, in no certain order; `max` touches at most, further ones are lost. */
  std::vector<Touch> take();

  /** A read of these units is over. Units of `missed`, which is sorted, were missing when it came. Never throws. */
  void note(UnitRange units, uint64_t at, std::span<const uint32_t> missed) noexcept;

 private:
  std::atomic<bool> isOn_{false};
  std::mutex mutex_;
  size_t max_ = 0;
  /** One bit a unit. */
  std::vector<uint64_t> touched_;
  std::vector<Touch> touches_;
};

}  // namespace lazuli
