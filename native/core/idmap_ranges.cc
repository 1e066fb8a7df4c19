#include "idmap_ranges.h"

#include <algorithm>
#include <utility>

namespace lazuli {

IdRanges::IdRanges(std::vector<IdRange> ranges) : ranges_(std::move(ranges)) {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const IdRange& left, const IdRange& right) { return left.inside < right.inside; });
}

std::optional<uint32_t> IdRanges::map(uint32_t id) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), id,
                                      [](uint32_t wanted, const IdRange& range) { return wanted < range.inside; });
  if (after == ranges_.begin()) return std::nullopt;
  const IdRange& range = *(after - 1);
  const uint32_t distance = id - range.inside;
  if (distance >= range.size) return std::nullopt;
  return range.outside + distance;
}

}  // namespace lazuli
