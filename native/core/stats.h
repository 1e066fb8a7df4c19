#pragma once

#include <atomic>
#include <cstdint>

namespace lazuli {

/** Counters since the start of the plane; each is its own truth, there is no common moment. */
struct Stats {
  using Counter = std::atomic<uint64_t>;

  Counter lookups{0};
  Counter getattrs{0};
  Counter opens{0};
  Counter reads{0};
  Counter readdirs{0};
  Counter xattrs{0};
  Counter others{0};
  Counter bytesServed{0};
  Counter misses{0};
  Counter failedReads{0};
  Counter unitsStored{0};
  Counter unitsCorrupt{0};
  Counter unitsDamaged{0};

  static void add(Counter& counter, uint64_t count = 1) { counter.fetch_add(count, std::memory_order_relaxed); }
};

}  // namespace lazuli
