#include "flat_file_system.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>

namespace lazuli {
namespace {

constexpr uint64_t FILE_TAG = 2;
constexpr uint32_t BLOCK = 4096;
/** Cookies: 1 continues behind ".", 2 behind "..", 2 + n behind layer n. */
constexpr uint64_t COOKIE_BASE = 2;

uint64_t nodeOf(uint32_t number) {
  return static_cast<uint64_t>(number) << 32 | FILE_TAG;
}

fuse::Attributes rootAttributes() {
  fuse::Attributes attributes{};
  attributes.inode = fuse::ROOT_NODE;
  attributes.mode = S_IFDIR | 0500;
  attributes.links = 2;
  attributes.blockSize = BLOCK;
  return attributes;
}

fuse::Attributes fileAttributes(const Layer& layer) {
  fuse::Attributes attributes{};
  attributes.inode = nodeOf(layer.number());
  attributes.size = layer.units().dataSize();
  attributes.blocks = (attributes.size + 511) / 512;
  attributes.mode = S_IFREG | 0400;
  attributes.links = 1;
  attributes.blockSize = BLOCK;
  return attributes;
}

/** The number that is written in its shortest decimal form; 0 when it isn't. */
uint32_t parseNumber(std::string_view name) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || name.front() == '0') return 0;
  return number;
}

}  // namespace

std::shared_ptr<Layer> FlatFileSystem::layerOf(uint64_t node) const {
  if ((node & UINT32_MAX) != FILE_TAG) return nullptr;
  return layers_.find(static_cast<uint32_t>(node >> 32));
}

int FlatFileSystem::lookup(uint64_t parent, std::string_view name, fuse::EntryOut& entry) const {
  if (parent != fuse::ROOT_NODE) return ENOTDIR;
  const uint32_t number = name.empty() ? 0 : parseNumber(name);
  const std::shared_ptr<Layer> layer = number == 0 ? nullptr : layers_.find(number);
  if (layer == nullptr) return ENOENT;
  entry = foreverEntry(nodeOf(number), fileAttributes(*layer));
  return 0;
}

int FlatFileSystem::attributes(uint64_t node, fuse::Attributes& attributes) const {
  if (node == fuse::ROOT_NODE) {
    attributes = rootAttributes();
    return 0;
  }
  const std::shared_ptr<Layer> layer = layerOf(node);
  if (layer == nullptr) return ESTALE;
  attributes = fileAttributes(*layer);
  return 0;
}

int FlatFileSystem::list(uint64_t node, uint64_t cookie, DirectoryWriter& writer) const {
  if (node != fuse::ROOT_NODE) return ENOTDIR;
  const fuse::EntryOut none{};
  if (cookie == 0 && !writer.add({".", fuse::ROOT_NODE, DT_DIR, 1}, none)) return 0;
  if (cookie <= 1 && !writer.add({"..", fuse::ROOT_NODE, DT_DIR, COOKIE_BASE}, none)) return 0;
  auto number = static_cast<uint32_t>(std::max(cookie, COOKIE_BASE) - COOKIE_BASE);
  for (std::shared_ptr<Layer> layer = layers_.next(number); layer != nullptr; layer = layers_.next(number)) {
    number = layer->number();
    const std::string name = std::to_string(number);
    const fuse::EntryOut entry = foreverEntry(nodeOf(number), fileAttributes(*layer));
    if (!writer.add({name, nodeOf(number), DT_REG, COOKIE_BASE + number}, entry)) break;
  }
  return 0;
}

int FlatFileSystem::readLink(uint64_t, std::span<const uint8_t>&) const {
  return EINVAL;
}

int FlatFileSystem::xattr(uint64_t, std::string_view, std::vector<uint8_t>&) const {
  return ENODATA;
}

int FlatFileSystem::xattrNames(uint64_t, std::vector<uint8_t>&) const {
  return 0;
}

int FlatFileSystem::content(uint64_t node, uint64_t offset, uint32_t length, std::vector<Segment>& segments,
                            std::shared_ptr<Layer>& layer) const {
  layer = layerOf(node);
  if (layer == nullptr) return node == fuse::ROOT_NODE ? EISDIR : EIO;
  const uint64_t size = layer->units().dataSize();
  if (offset >= size) return 0;
  const auto part = static_cast<uint32_t>(std::min<uint64_t>(length, size - offset));
  segments.push_back({Segment::Kind::data, part, offset});
  return 0;
}

int FlatFileSystem::statistics(fuse::StatfsOut& out) const {
  out.blockSize = BLOCK;
  out.fragmentSize = BLOCK;
  out.nameLengthMax = 10;
  return 0;
}

}  // namespace lazuli
