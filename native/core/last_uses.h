#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lazuli {

/**
 * When each group of units was last read or stored, in milliseconds of CLOCK_MONOTONIC; 0: never. A unit belongs to the
 * group of its first byte in the data file. Costs a store of eight bytes a read, and no lock.
 */
class LastUses {
 public:
  /** Bytes of the data file that a group covers; `useGroupBytes` of src/fuse/binding.ts. */
  static constexpr uint64_t GROUP_BYTES = 1ULL << 20;
  /** 8 MiB for a layer of a TiB: a table may claim any size. What lies behind belongs to the last group. */
  static constexpr uint64_t GROUPS_MAX = 1ULL << 20;

  explicit LastUses(uint64_t dataSize);

  void touch(uint64_t dataOffset) {
    groups_[std::min<uint64_t>(dataOffset / GROUP_BYTES, count_ - 1)].store(now(), std::memory_order_relaxed);
  }
  std::vector<double> list() const;

 private:
  static uint64_t now();

  const size_t count_;
  const std::unique_ptr<std::atomic<uint64_t>[]> groups_;
};

}  // namespace lazuli
