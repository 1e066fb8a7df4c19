#include "tree_file_system.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace lazuli {
namespace {

/** Keeps clear of 0, which is no node, and of the root. */
constexpr uint64_t NODE_BASE = 2;
constexpr size_t NAME_MAX_BYTES = 255;

bool isDots(std::string_view name) {
  return name == "." || name == "..";
}

}  // namespace

uint64_t TreeFileSystem::nodeOf(uint64_t nid) const {
  return nid == image_.rootNid() ? fuse::ROOT_NODE : nid + NODE_BASE;
}

int TreeFileSystem::inodeOf(uint64_t node, ErofsInode& inode) const {
  if (node == fuse::ROOT_NODE) return image_.inode(image_.rootNid(), inode);
  if (node < NODE_BASE) return ESTALE;
  return image_.inode(node - NODE_BASE, inode);
}

fuse::Attributes TreeFileSystem::attributesOf(const ErofsInode& inode) const {
  const uint64_t block = image_.blockSize();
  fuse::Attributes attributes{};
  attributes.inode = inode.nid;
  attributes.size = inode.size;
  attributes.blocks = (inode.size / block + (inode.size % block != 0)) * (block / 512);
  // The image has one time, which stands for all three, as in the kernel's EROFS. Negative seconds keep their bits.
  attributes.accessSeconds = attributes.modifySeconds = attributes.changeSeconds = static_cast<uint64_t>(inode.mtimeSeconds);
  attributes.accessNanoseconds = attributes.modifyNanoseconds = attributes.changeNanoseconds = inode.mtimeNanoseconds;
  attributes.mode = inode.mode;
  attributes.links = inode.links;
  attributes.uid = inode.uid;
  attributes.gid = inode.gid;
  attributes.device = inode.device;
  attributes.blockSize = static_cast<uint32_t>(block);
  return attributes;
}

int TreeFileSystem::lookup(uint64_t parent, std::string_view name, fuse::EntryOut& entry) const {
  if (name.size() > NAME_MAX_BYTES) return ENAMETOOLONG;
  ErofsInode directory;
  ErofsEntry found;
  ErofsInode inode;
  int error = inodeOf(parent, directory);
  if (error == 0) error = image_.lookup(directory, name, found);
  if (error == 0) error = image_.inode(found.nid, inode);
  if (error == 0) entry = foreverEntry(nodeOf(found.nid), attributesOf(inode));
  return error;
}

int TreeFileSystem::attributes(uint64_t node, fuse::Attributes& attributes) const {
  ErofsInode inode;
  const int error = inodeOf(node, inode);
  if (error == 0) attributes = attributesOf(inode);
  return error;
}

int TreeFileSystem::list(uint64_t node, uint64_t cookie, DirectoryWriter& writer) const {
  ErofsInode directory;
  int error = inodeOf(node, directory);
  if (error != 0) return error;
  for (;;) {
    ErofsEntry found;
    error = image_.next(directory, cookie, found);
    if (error != 0) break;
    fuse::EntryOut entry{};
    if (writer.withEntries() && !isDots(found.name)) {
      ErofsInode inode;
      error = image_.inode(found.nid, inode);
      if (error != 0) break;
      entry = foreverEntry(nodeOf(found.nid), attributesOf(inode));
    }
    if (!writer.add({found.name, found.nid, found.type, cookie}, entry)) return 0;
  }
  // What was listed before the damage is told first; the next call meets the damage at once.
  return error == ENOENT || !writer.written().empty() ? 0 : error;
}

int TreeFileSystem::readLink(uint64_t node, std::span<const uint8_t>& target) const {
  ErofsInode inode;
  const int error = inodeOf(node, inode);
  return error != 0 ? error : image_.readLink(inode, target);
}

int TreeFileSystem::xattr(uint64_t node, std::string_view name, std::vector<uint8_t>& value) const {
  ErofsInode inode;
  std::span<const uint8_t> bytes;
  int error = inodeOf(node, inode);
  if (error == 0) error = image_.xattr(inode, name, bytes);
  if (error == 0) value.assign(bytes.begin(), bytes.end());
  return error;
}

int TreeFileSystem::xattrNames(uint64_t node, std::vector<uint8_t>& names) const {
  ErofsInode inode;
  const int error = inodeOf(node, inode);
  return error != 0 ? error : image_.xattrNames(inode, names);
}

int TreeFileSystem::content(uint64_t node, uint64_t offset, uint32_t length, std::vector<Segment>& segments,
                            std::shared_ptr<Layer>& layer) const {
  if (layer_->isRemoved()) return EIO;
  ErofsInode inode;
  int error = inodeOf(node, inode);
  if (error != 0) return error;
  if (!S_ISREG(inode.mode)) return S_ISDIR(inode.mode) ? EISDIR : EINVAL;
  layer = layer_;
  const uint64_t dataSize = layer_->units().dataSize();
  while (length > 0) {
    ErofsRange range;
    error = image_.fileRange(inode, offset, length, range);
    if (error != 0) return error;
    if (range.length == 0) break;
    if (!range.isHole && (range.deviceOffset > dataSize || range.length > dataSize - range.deviceOffset)) return EUCLEAN;
    const auto part = static_cast<uint32_t>(std::min<uint64_t>(range.length, length));
    segments.push_back({range.isHole ? Segment::Kind::zeros : Segment::Kind::data, part, range.deviceOffset});
    offset += part;
    length -= part;
  }
  return 0;
}

int TreeFileSystem::statistics(fuse::StatfsOut& out) const {
  out.blockSize = image_.blockSize();
  out.fragmentSize = image_.blockSize();
  out.blocks = layer_->units().dataSize() / image_.blockSize();
  out.files = image_.inodeCount();
  out.nameLengthMax = NAME_MAX_BYTES;
  return 0;
}

}  // namespace lazuli
