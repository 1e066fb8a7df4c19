#include "file_system.h"

#include <cstring>

namespace lazuli {

bool DirectoryWriter::add(const Item& item, const fuse::EntryOut& entry) {
  const size_t head = (withEntries_ ? sizeof entry : 0) + sizeof(fuse::Dirent);
  const size_t whole = (head + item.name.size() + 7) / 8 * 8;
  if (whole > buffer_.size() - used_) return false;
  uint8_t* at = buffer_.data() + used_;
  std::memset(at + whole - 8, 0, 8);
  if (withEntries_) {
    std::memcpy(at, &entry, sizeof entry);
    at += sizeof entry;
  }
  const fuse::Dirent dirent{item.inode, item.next, static_cast<uint32_t>(item.name.size()), item.type};
  std::memcpy(at, &dirent, sizeof dirent);
  std::memcpy(at + sizeof dirent, item.name.data(), item.name.size());
  used_ += whole;
  return true;
}

fuse::EntryOut foreverEntry(uint64_t node, const fuse::Attributes& attributes) {
  fuse::EntryOut entry{};
  entry.node = node;
  entry.entryValid = fuse::FOREVER;
  entry.attributesValid = fuse::FOREVER;
  entry.attributes = attributes;
  return entry;
}

}  // namespace lazuli
