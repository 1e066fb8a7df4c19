#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fuse_protocol.h"
#include "layer.h"

namespace lazuli {

/** Where a piece of a file's content comes from. */
struct Segment {
  enum class Kind : uint8_t { data, zeros };

  Kind kind;
  uint32_t length;
  /** data: offset in the layer's data file. */
  uint64_t offset;
};

/** Fills the answer of READDIR or READDIRPLUS until it is full. */
class DirectoryWriter {
 public:
  DirectoryWriter(std::span<uint8_t> buffer, bool withEntries) : buffer_(buffer), withEntries_(withEntries) {}

  struct Item {
    std::string_view name;
    uint64_t inode;
    /** DT_*. */
    uint8_t type;
    /** The cookie that continues behind this one. */
    uint64_t next;
  };

  bool withEntries() const { return withEntries_; }
  /** False when there is no room. `entry` counts only with entries; its node is 0 for "." and "..". */
  bool add(const Item& item, const fuse::EntryOut& entry);
  std::span<const uint8_t> written() const { return buffer_.first(used_); }

 private:
  std::span<uint8_t> buffer_;
  size_t used_ = 0;
  bool withEntries_;
};

/**
 * What a session serves: names and attributes that never change, so each is told for ever. Functions return 0 or an
 * errno. Nothing is remembered between calls: node ids are derived, lookups are not counted.
 */
class FileSystem {
 public:
  FileSystem() = default;
  virtual ~FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  /** A directory's names may grow: neither absence nor its listing is cached. */
  virtual bool isGrowing() const = 0;
  virtual bool hasXattrs() const = 0;
  /** Names that end at a zero byte in the request are given without it. */
  virtual int lookup(uint64_t parent, std::string_view name, fuse::EntryOut& entry) const = 0;
  virtual int attributes(uint64_t node, fuse::Attributes& attributes) const = 0;
  virtual int list(uint64_t node, uint64_t cookie, DirectoryWriter& writer) const = 0;
  virtual int readLink(uint64_t node, std::span<const uint8_t>& target) const = 0;
  virtual int xattr(uint64_t node, std::string_view name, std::vector<uint8_t>& value) const = 0;
  /** Each name with its zero byte. */
  virtual int xattrNames(uint64_t node, std::vector<uint8_t>& names) const = 0;
  /** The pieces of [offset, offset + length) up to the file's end, and the layer they are in. */
  virtual int content(uint64_t node, uint64_t offset, uint32_t length, std::vector<Segment>& segments,
                      std::shared_ptr<Layer>& layer) const = 0;
  virtual int statistics(fuse::StatfsOut& out) const = 0;
};

/** An entry that holds for ever. */
fuse::EntryOut foreverEntry(uint64_t node, const fuse::Attributes& attributes);

}  // namespace lazuli
