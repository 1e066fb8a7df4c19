#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "idmap_ranges.h"

namespace lazuli {

/**
 * A file's capabilities (security.capability) for the user namespace that ids are mapped into: revision 3, which names
 * the user that is root there. Without it they count in the first user namespace only, where nobody meant them.
 * Nothing where the value has no form of the kernel's, or its root has no place in the map.
 */
std::optional<std::vector<uint8_t>> mapCapability(const std::vector<uint8_t>& value, const IdRanges& uids);

/** An access list (system.posix_acl_*) with its users and groups mapped. Nothing as above. */
std::optional<std::vector<uint8_t>> mapAccessList(const std::vector<uint8_t>& value, const IdRanges& uids,
                                                  const IdRanges& gids);

}  // namespace lazuli
