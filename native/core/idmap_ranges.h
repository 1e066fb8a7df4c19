#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace lazuli {

/** Ids from `inside` on are ids from `outside` on, `size` of them. */
struct IdRange {
  uint32_t inside;
  uint32_t outside;
  uint32_t size;
};

/** A map of ids as a user namespace has it. */
class IdRanges {
 public:
  explicit IdRanges(std::vector<IdRange> ranges);

  /** Nothing where no range holds the id. */
  std::optional<uint32_t> map(uint32_t id) const;

 private:
  /** By `inside`. */
  std::vector<IdRange> ranges_;
};

}  // namespace lazuli
