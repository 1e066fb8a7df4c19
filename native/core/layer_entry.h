#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "record_bytes.h"

namespace lazuli {

enum class LayerEntryKind : uint8_t {
  file,
  folder,
  symlink,
  hardlink,
  character,
  block,
  fifo,
  /** Takes away what has its name, and makes nothing. */
  nothing,
  /** The name is what it hides. */
  whiteout,
  /** The name is the folder whose lower contents it hides. */
  opaque,
};
constexpr uint8_t LAYER_ENTRY_KINDS = 10;

/** What an entry of a layer's archive makes. Texts are owned by the record. */
struct LayerEntry {
  LayerEntryKind kind;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  uint32_t major;
  uint32_t minor;
  timespec mtime;
  uint64_t sizeBytes;
  /** Relative, clean. */
  std::string_view name;
  /** Of links. */
  std::string_view target;
  std::vector<std::pair<std::string_view, std::string_view>> xattrs;
  /** Where bytes lie in the archive, where they go in the file, and how many. Elsewhere are zeros. */
  struct Part {
    uint64_t from;
    uint64_t to;
    uint64_t length;
  };
  std::vector<Part> parts;
};

/** @throws std::invalid_argument */
inline LayerEntry readLayerEntry(RecordReader& record) {
  LayerEntry entry{};
  const uint8_t kind = record.byte();
  if (kind >= LAYER_ENTRY_KINDS) throw std::invalid_argument("A record has an unknown kind");
  entry.kind = static_cast<LayerEntryKind>(kind);
  entry.mode = record.word() & 07777;
  entry.uid = record.word();
  entry.gid = record.word();
  entry.major = record.word();
  entry.minor = record.word();
  entry.mtime.tv_sec = static_cast<time_t>(record.number64());
  entry.mtime.tv_nsec = record.word();
  entry.sizeBytes = record.number64();
  entry.name = record.text();
  entry.target = record.text();
  for (uint32_t left = record.word(); left > 0; left--) {
    const std::string_view name = record.text();
    entry.xattrs.emplace_back(name, record.text());
  }
  for (uint32_t left = record.word(); left > 0; left--) {
    const uint64_t from = record.number64();
    const uint64_t to = record.number64();
    entry.parts.push_back({from, to, record.number64()});
  }
  return entry;
}

}  // namespace lazuli
