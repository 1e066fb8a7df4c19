#pragma once

#include "file_system.h"
#include "layers.h"

namespace lazuli {

/** `/<layer number>` is that layer's data file. A file's node id is its layer number << 32 | 2. */
class FlatFileSystem final : public FileSystem {
 public:
  explicit FlatFileSystem(const Layers& layers) : layers_(layers) {}

  bool isGrowing() const override { return true; }
  bool hasXattrs() const override { return false; }
  int lookup(uint64_t parent, std::string_view name, fuse::EntryOut& entry) const override;
  int attributes(uint64_t node, fuse::Attributes& attributes) const override;
  int list(uint64_t node, uint64_t cookie, DirectoryWriter& writer) const override;
  int readLink(uint64_t node, std::span<const uint8_t>& target) const override;
  int xattr(uint64_t node, std::string_view name, std::vector<uint8_t>& value) const override;
  int xattrNames(uint64_t node, std::vector<uint8_t>& names) const override;
  int content(uint64_t node, uint64_t offset, uint32_t length, std::vector<Segment>& segments,
              std::shared_ptr<Layer>& layer) const override;
  int statistics(fuse::StatfsOut& out) const override;

 private:
  std::shared_ptr<Layer> layerOf(uint64_t node) const;

  const Layers& layers_;
};

}  // namespace lazuli
