#pragma once

#include "file_system.h"

namespace lazuli {

/** The tree of one layer, as its meta image has it. A node id is the image's inode number (nid) + 2; the root is 1. */
class TreeFileSystem final : public FileSystem {
 public:
  /** The layer has an image. */
  explicit TreeFileSystem(std::shared_ptr<Layer> layer) : layer_(std::move(layer)), image_(*layer_->image()) {}

  bool isGrowing() const override { return false; }
  bool hasXattrs() const override { return image_.hasXattrs(); }
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
  uint64_t nodeOf(uint64_t nid) const;
  int inodeOf(uint64_t node, ErofsInode& inode) const;
  fuse::Attributes attributesOf(const ErofsInode& inode) const;

  const std::shared_ptr<Layer> layer_;
  const ErofsImage& image_;
};

}  // namespace lazuli
