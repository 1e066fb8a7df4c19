#include "btrfs_search.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "syscalls.h"

namespace lazuli {
namespace {

constexpr size_t RESULT_BYTES = 65536;

btrfs_ioctl_search_key keyOf(const SearchRange& range) {
  btrfs_ioctl_search_key key{};
  key.tree_id = range.tree;
  key.min_objectid = range.firstObject;
  key.max_objectid = range.lastObject;
  key.min_type = range.firstType;
  key.max_type = range.lastType;
  key.min_offset = range.firstOffset;
  key.max_offset = range.lastOffset;
  key.min_transid = range.firstTransaction;
  key.max_transid = UINT64_MAX;
  return key;
}

/** Goes to the key behind this one; false where there is none. */
bool advance(btrfs_ioctl_search_key& key, const btrfs_ioctl_search_header& last) {
  key.min_objectid = last.objectid;
  key.min_type = last.type;
  key.min_offset = last.offset;
  if (key.min_offset != UINT64_MAX) {
    key.min_offset++;
    return true;
  }
  key.min_offset = 0;
  if (key.min_type != UINT8_MAX) {
    key.min_type++;
    return true;
  }
  key.min_type = 0;
  key.min_objectid++;
  return key.min_objectid != 0;
}

}  // namespace

void searchTree(int fd, const SearchRange& range, const SearchVisitor& visit) {
  // In words of 64 bits, so that the structure at its head is aligned.
  std::vector<uint64_t> memory((sizeof(btrfs_ioctl_search_args_v2) + RESULT_BYTES) / sizeof(uint64_t));
  auto* args = reinterpret_cast<btrfs_ioctl_search_args_v2*>(memory.data());
  const auto* results = reinterpret_cast<const uint8_t*>(memory.data()) + sizeof *args;
  btrfs_ioctl_search_key key = keyOf(range);
  while (true) {
    args->key = key;
    args->key.nr_items = UINT32_MAX;
    args->buf_size = RESULT_BYTES;
    if (ioctl(fd, BTRFS_IOC_TREE_SEARCH_V2, args) != 0) throw SystemCallError(errno, "btrfs_tree_search");
    if (args->key.nr_items == 0) return;
    btrfs_ioctl_search_header header{};
    size_t place = 0;
    for (uint32_t i = 0; i < args->key.nr_items; i++) {
      if (RESULT_BYTES - place < sizeof header) throw SystemCallError(EIO, "btrfs_tree_search");
      std::memcpy(&header, results + place, sizeof header);
      place += sizeof header;
      if (RESULT_BYTES - place < header.len) throw SystemCallError(EIO, "btrfs_tree_search");
      visit(header, {results + place, header.len});
      place += header.len;
    }
    if (!advance(key, header)) return;
  }
}

}  // namespace lazuli
