#include "idmap_xattrs.h"

#include <cstddef>

namespace lazuli {
namespace {

// linux/capability.h: a little-endian word with the revision in its top byte, two pairs of words, from revision 3 on a user.
constexpr uint32_t REVISION_MASK = 0xFF000000;
constexpr uint32_t REVISION_2 = 0x02000000;
constexpr uint32_t REVISION_3 = 0x03000000;
constexpr size_t CAPABILITY_2_BYTES = 20;
constexpr size_t CAPABILITY_3_BYTES = 24;
// linux/posix_acl_xattr.h: a version, then entries {u16 tag, u16 permissions, u32 id}.
constexpr uint32_t ACL_VERSION = 2;
constexpr size_t ACL_HEADER_BYTES = 4;
constexpr size_t ACL_ENTRY_BYTES = 8;
constexpr uint16_t ACL_USER = 0x02;
constexpr uint16_t ACL_GROUP = 0x08;

uint32_t wordAt(const std::vector<uint8_t>& bytes, size_t offset) {
  return static_cast<uint32_t>(bytes[offset]) | static_cast<uint32_t>(bytes[offset + 1]) << 8 |
         static_cast<uint32_t>(bytes[offset + 2]) << 16 | static_cast<uint32_t>(bytes[offset + 3]) << 24;
}

void setWord(std::vector<uint8_t>& bytes, size_t offset, uint32_t word) {
  for (size_t i = 0; i < 4; i++) bytes[offset + i] = static_cast<uint8_t>(word >> (8 * i));
}

}  // namespace

std::optional<std::vector<uint8_t>> mapCapability(const std::vector<uint8_t>& value, const IdRanges& uids) {
  if (value.size() < CAPABILITY_2_BYTES) return std::nullopt;
  const uint32_t first = wordAt(value, 0);
  const uint32_t revision = first & REVISION_MASK;
  const size_t wanted = revision == REVISION_2 ? CAPABILITY_2_BYTES : revision == REVISION_3 ? CAPABILITY_3_BYTES : 0;
  if (value.size() != wanted) return std::nullopt;
  const auto root = uids.map(revision == REVISION_3 ? wordAt(value, CAPABILITY_2_BYTES) : 0);
  if (!root.has_value()) return std::nullopt;
  std::vector<uint8_t> mapped = value;
  mapped.resize(CAPABILITY_3_BYTES);
  setWord(mapped, 0, (first & ~REVISION_MASK) | REVISION_3);
  setWord(mapped, CAPABILITY_2_BYTES, *root);
  return mapped;
}

std::optional<std::vector<uint8_t>> mapAccessList(const std::vector<uint8_t>& value, const IdRanges& uids,
                                                  const IdRanges& gids) {
  if (value.size() < ACL_HEADER_BYTES || (value.size() - ACL_HEADER_BYTES) % ACL_ENTRY_BYTES != 0) return std::nullopt;
  if (wordAt(value, 0) != ACL_VERSION) return std::nullopt;
  std::vector<uint8_t> mapped = value;
  for (size_t offset = ACL_HEADER_BYTES; offset < value.size(); offset += ACL_ENTRY_BYTES) {
    const auto tag = static_cast<uint16_t>(value[offset] | value[offset + 1] << 8);
    if (tag != ACL_USER && tag != ACL_GROUP) continue;
    const auto id = (tag == ACL_USER ? uids : gids).map(wordAt(value, offset + 4));
    if (!id.has_value()) return std::nullopt;
    setWord(mapped, offset + 4, *id);
  }
  return mapped;
}

}  // namespace lazuli
