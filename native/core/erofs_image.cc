#include "erofs_image.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "crc32c.h"

namespace lazuli {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr uint64_t SUPERBLOCK_OFFSET = 1024;
constexpr uint64_t SUPERBLOCK_SIZE = 128;
constexpr uint32_t MAGIC = 0xe0f5e1e2;
constexpr uint32_t COMPAT_CHECKSUM = 1;
constexpr uint32_t INCOMPAT_CHUNKS = 4;
constexpr uint32_t INCOMPAT_DEVICES = 8;
constexpr uint32_t NO_BLOCK = UINT32_MAX;
constexpr uint16_t FORMAT_EXTENDED = 1;
constexpr uint64_t SLOT_SIZE = 32;
constexpr uint64_t INODE_SIZE = 64;
constexpr uint32_t DIRENT_SIZE = 12;
constexpr uint32_t XATTR_HEADER_SIZE = 12;
constexpr uint32_t XATTR_ENTRY_SIZE = 4;
constexpr uint32_t CHUNK_INDEX_SIZE = 8;
constexpr uint32_t CHUNK_BITS_MASK = 0x1f;
constexpr uint32_t CHUNK_HAS_INDEXES = 0x20;
constexpr uint32_t NANOSECONDS = 1'000'000'000;
constexpr size_t NAME_MAX_LENGTH = 255;
constexpr uint64_t TARGET_MAX_LENGTH = 4095;
/** The volume name of an image without any extended attribute: see src/erofs/superblock.ts. */
constexpr std::string_view VOLUME_WITHOUT_XATTRS{"lazuli\0\0\0\0\0\0\0\0\0\0", 16};

/** By the format's file type; 0 is not used. */
constexpr std::array<uint8_t, 8> DIRENT_TYPES{0, DT_REG, DT_DIR, DT_CHR, DT_BLK, DT_FIFO, DT_SOCK, DT_LNK};

constexpr std::array<std::string_view, 7> XATTR_PREFIXES{
    "", "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", "", "security."};

template <typename Number>
Number load(const uint8_t* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof number);
  return number;
}

std::string_view textAt(const uint8_t* bytes, size_t length) {
  return {reinterpret_cast<const char*>(bytes), length};
}

uint64_t alignUp(uint64_t offset, uint64_t step) {
  return (offset + step - 1) & ~(step - 1);
}

bool isValidName(std::string_view name) {
  return !name.empty() && name.size() <= NAME_MAX_LENGTH && name.find('/') == name.npos && name.find('\0') == name.npos;
}

bool isPosixAcl(uint8_t prefix) {
  return prefix == 2 || prefix == 3;
}

/** What our writer gives to each type of inode; anything else is damage. */
bool isLayoutPossible(const ErofsInode& inode, uint64_t imageSize) {
  switch (inode.mode & S_IFMT) {
    case S_IFREG:
      return inode.size == 0 ? inode.layout == ErofsLayout::plain : inode.layout == ErofsLayout::chunks;
    case S_IFDIR:
      return inode.layout != ErofsLayout::chunks && inode.size > 0 && inode.size <= imageSize;
    case S_IFLNK:
      return inode.layout != ErofsLayout::chunks && inode.size > 0 && inode.size <= TARGET_MAX_LENGTH;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      return inode.layout == ErofsLayout::plain && inode.size == 0;
    default:
      return false;
  }
}

}  // namespace

int ErofsImage::open(int fd, std::unique_ptr<ErofsImage>& image) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE) return EUCLEAN;
  void* bytes = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED) return errno;
  std::unique_ptr<ErofsImage> opened(new ErofsImage(static_cast<const uint8_t*>(bytes), size));
  if (const int error = opened->readSuperblock(); error != 0) return error;
  image = std::move(opened);
  return 0;
}

ErofsImage::~ErofsImage() {
  munmap(const_cast<uint8_t*>(bytes_), size_);
}

int ErofsImage::readSuperblock() {
  const uint8_t* super = bytes_ + SUPERBLOCK_OFFSET;
  blockBits_ = super[12];
  if (load<uint32_t>(super) != MAGIC || (blockBits_ != 9 && blockBits_ != 12)) return EUCLEAN;
  const uint64_t block = blockSize();
  const uint64_t checked = block > SUPERBLOCK_OFFSET ? block - SUPERBLOCK_OFFSET : block;
  if (!contains(SUPERBLOCK_OFFSET, checked)) return EUCLEAN;
  if ((load<uint32_t>(super + 8) & COMPAT_CHECKSUM) == 0) return EUCLEAN;
  std::vector<uint8_t> copy(super, super + checked);
  std::fill_n(copy.begin() + 4, 4, 0);
  // The format's sum is not inverted at its end.
  if (load<uint32_t>(super + 4) != ~crc32c(copy.data(), copy.size())) return EUCLEAN;
  const bool isOurs = super[13] == 0 && load<uint32_t>(super + 40) == 0 &&
                      load<uint32_t>(super + 80) == (INCOMPAT_CHUNKS | INCOMPAT_DEVICES) &&
                      load<uint16_t>(super + 86) == 1 && super[90] == 0;
  if (!isOurs || static_cast<uint64_t>(load<uint32_t>(super + 36)) << blockBits_ != size_) return EUCLEAN;
  rootNid_ = load<uint16_t>(super + 14);
  inodeCount_ = load<uint64_t>(super + 16);
  hasXattrs_ = textAt(super + 64, VOLUME_WITHOUT_XATTRS.size()) != VOLUME_WITHOUT_XATTRS;
  ErofsInode root;
  if (const int error = inode(rootNid_, root); error != 0) return error;
  return S_ISDIR(root.mode) ? 0 : EUCLEAN;
}

int ErofsImage::inode(uint64_t nid, ErofsInode& inode) const {
  if (nid > size_ / SLOT_SIZE) return EUCLEAN;
  const uint64_t offset = nid * SLOT_SIZE;
  if (!contains(offset, INODE_SIZE)) return EUCLEAN;
  const uint8_t* at = bytes_ + offset;
  const auto format = load<uint16_t>(at);
  const auto layout = static_cast<uint8_t>(format >> 1);
  if ((format & FORMAT_EXTENDED) == 0 || format >> 4 != 0) return EUCLEAN;
  if (layout != 0 && layout != 2 && layout != 4) return EUCLEAN;
  const uint32_t xattrCount = load<uint16_t>(at + 2);
  inode.nid = nid;
  inode.layout = static_cast<ErofsLayout>(layout);
  inode.mode = load<uint16_t>(at + 4);
  inode.size = load<uint64_t>(at + 8);
  inode.raw = load<uint32_t>(at + 16);
  inode.ino = load<uint32_t>(at + 20);
  inode.uid = load<uint32_t>(at + 24);
  inode.gid = load<uint32_t>(at + 28);
  inode.mtimeSeconds = load<int64_t>(at + 32);
  inode.mtimeNanoseconds = load<uint32_t>(at + 40);
  inode.links = load<uint32_t>(at + 44);
  inode.device = S_ISCHR(inode.mode) || S_ISBLK(inode.mode) ? inode.raw : 0;
  inode.xattrOffset = offset + INODE_SIZE;
  inode.xattrSize = xattrCount == 0 ? 0 : XATTR_HEADER_SIZE + XATTR_ENTRY_SIZE * (xattrCount - 1);
  if (!contains(inode.xattrOffset, inode.xattrSize)) return EUCLEAN;
  return inode.mtimeNanoseconds < NANOSECONDS && isLayoutPossible(inode, size_) ? 0 : EUCLEAN;
}

uint64_t ErofsImage::inodeEnd(const ErofsInode& inode) const {
  return inode.xattrOffset + inode.xattrSize;
}

int ErofsImage::directoryBlock(const ErofsInode& directory, uint64_t index, Block& block) const {
  const uint64_t last = (directory.size - 1) >> blockBits_;
  const uint64_t size = index == last ? directory.size - (last << blockBits_) : blockSize();
  const bool isTail = index == last && directory.layout == ErofsLayout::inlineTail;
  const uint64_t offset = isTail ? inodeEnd(directory) : (directory.raw + index) << blockBits_;
  if (size < DIRENT_SIZE || !contains(offset, size)) return EUCLEAN;
  block.bytes = bytes_ + offset;
  block.size = static_cast<uint32_t>(size);
  const uint32_t names = load<uint16_t>(block.bytes + 8);
  if (names == 0 || names % DIRENT_SIZE != 0 || names >= block.size) return EUCLEAN;
  block.count = names / DIRENT_SIZE;
  return 0;
}

int ErofsImage::entryOf(const Block& block, uint32_t index, ErofsEntry& entry) const {
  const uint8_t* at = block.bytes + static_cast<size_t>(index) * DIRENT_SIZE;
  const uint32_t begin = load<uint16_t>(at + 8);
  const bool isLast = index + 1 == block.count;
  uint32_t end = isLast ? block.size : load<uint16_t>(at + DIRENT_SIZE + 8);
  if (begin < block.count * DIRENT_SIZE || begin >= end || end > block.size) return EUCLEAN;
  // Only what stands behind the last name of a block is padding.
  if (isLast) end = begin + 
          static_cast<uint32_t>(strnlen(reinterpret_cast<const char*>(block.bytes) + begin, end - begin));
  entry.name = textAt(block.bytes + begin, end - begin);
  entry.nid = load<uint64_t>(at);
  const uint8_t type = at[10];
  if (!isValidName(entry.name) || type == 0 || type >= DIRENT_TYPES.size()) return EUCLEAN;
  entry.type = DIRENT_TYPES[type];
  return 0;
}

int ErofsImage::findBlock(const ErofsInode& directory, std::string_view name, Block& block) const {
  uint64_t low = 0;
  uint64_t high = ((directory.size - 1) >> blockBits_) + 1;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    ErofsEntry first;
    if (const int error = directoryBlock(directory, middle, block); error != 0) return error;
    if (const int error = entryOf(block, 0, first); error != 0) return error;
    if (first.name <= name) low = middle;
    else high = middle;
  }
  return directoryBlock(directory, low, block);
}

int ErofsImage::lookup(const ErofsInode& directory, std::string_view name, ErofsEntry& entry) const {
  if (!S_ISDIR(directory.mode)) return ENOTDIR;
  Block block;
  if (const int error = findBlock(directory, name, block); error != 0) return error;
  uint32_t low = 0;
  uint32_t high = block.count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (const int error = entryOf(block, middle, entry); error != 0) return error;
    if (entry.name == name) return 0;
    if (entry.name < name) low = middle + 1;
    else high = middle;
  }
  return ENOENT;
}

int ErofsImage::next(const ErofsInode& directory, uint64_t& cookie, ErofsEntry& entry) const {
  if (!S_ISDIR(directory.mode)) return ENOTDIR;
  const uint64_t blocks = ((directory.size - 1) >> blockBits_) + 1;
  uint64_t index = cookie >> 16;
  auto position = static_cast<uint32_t>(cookie & 0xffff);
  if (index >= blocks) return ENOENT;
  Block block;
  if (const int error = directoryBlock(directory, index, block); error != 0) return error;
  if (position >= block.count) {
    position = 0;
    index++;
    if (index >= blocks) return ENOENT;
    if (const int error = directoryBlock(directory, index, block); error != 0) return error;
  }
  if (const int error = entryOf(block, position, entry); error != 0) return error;
  cookie = (index << 16) + position + 1;
  return 0;
}

int ErofsImage::readLink(const ErofsInode& link, std::span<const uint8_t>& target) const {
  if (!S_ISLNK(link.mode)) return EINVAL;
  const bool isInline = link.layout == ErofsLayout::inlineTail;
  if (isInline && link.size > blockSize()) return EUCLEAN;
  const uint64_t offset = isInline ? inodeEnd(link) : static_cast<uint64_t>(link.raw) << blockBits_;
  if (!contains(offset, link.size)) return EUCLEAN;
  target = {bytes_ + offset, link.size};
  return std::memchr(target.data(), 0, target.size()) == nullptr ? 0 : EUCLEAN;
}

int ErofsImage::nextXattr(const ErofsInode& inode, uint64_t& offset, Xattr& xattr) const {
  const uint64_t end = inodeEnd(inode);
  if (inode.xattrSize == 0) return ENOENT;
  // Shared attributes are not of our subset.
  if (offset == inode.xattrOffset) {
    if (bytes_[offset + 4] != 0) return EUCLEAN;
    offset += XATTR_HEADER_SIZE;
  }
  if (offset >= end) return ENOENT;
  if (end - offset < XATTR_ENTRY_SIZE) return EUCLEAN;
  const uint8_t* at = bytes_ + offset;
  const uint32_t nameLength = at[0];
  const uint8_t prefix = at[1];
  const uint32_t valueLength = load<uint16_t>(at + 2);
  const uint64_t length = alignUp(XATTR_ENTRY_SIZE + nameLength + valueLength, XATTR_ENTRY_SIZE);
  if (length > end - offset || prefix >= XATTR_PREFIXES.size() || XATTR_PREFIXES[prefix].empty()) return EUCLEAN;
  xattr.prefix = XATTR_PREFIXES[prefix];
  xattr.suffix = textAt(at + XATTR_ENTRY_SIZE, nameLength);
  xattr.value = {at + XATTR_ENTRY_SIZE + nameLength, valueLength};
  if (xattr.suffix.empty() != isPosixAcl(prefix) || xattr.suffix.find('\0') != xattr.suffix.npos) return EUCLEAN;
  offset += length;
  return 0;
}

int ErofsImage::xattr(const ErofsInode& inode, std::string_view name, std::span<const uint8_t>& value) const {
  uint64_t offset = inode.xattrOffset;
  Xattr found;
  int error = 0;
  while ((error = nextXattr(inode, offset, found)) == 0) {
    if (name.starts_with(found.prefix) && name.substr(found.prefix.size()) == found.suffix) {
      value = found.value;
      return 0;
    }
  }
  return error == ENOENT ? ENODATA : error;
}

int ErofsImage::xattrNames(const ErofsInode& inode, std::vector<uint8_t>& names) const {
  uint64_t offset = inode.xattrOffset;
  Xattr found;
  int error = 0;
  while ((error = nextXattr(inode, offset, found)) == 0) {
    names.insert(names.end(), found.prefix.begin(), found.prefix.end());
    names.insert(names.end(), found.suffix.begin(), found.suffix.end());
    names.push_back(0);
  }
  return error == ENOENT ? 0 : error;
}

int ErofsImage::fileRange(const ErofsInode& file, uint64_t offset, uint64_t length, ErofsRange& range) const {
  if (!S_ISREG(file.mode)) return EINVAL;
  range = {0, 0, false};
  if (offset >= file.size || length == 0) return 0;
  if ((file.raw & CHUNK_HAS_INDEXES) == 0 || (file.raw & ~(CHUNK_BITS_MASK | CHUNK_HAS_INDEXES)) != 0) return EUCLEAN;
  const uint32_t chunkBits = blockBits_ + (file.raw & CHUNK_BITS_MASK);
  const uint64_t chunk = 1ULL << chunkBits;
  const uint64_t index = alignUp(inodeEnd(file), CHUNK_INDEX_SIZE) + (offset >> chunkBits) * CHUNK_INDEX_SIZE;
  if (!contains(index, CHUNK_INDEX_SIZE)) return EUCLEAN;
  const uint64_t within = offset & (chunk - 1);
  range.length = std::min({length, file.size - offset, chunk - within});
  const auto block = load<uint32_t>(bytes_ + index + 4);
  if (block == NO_BLOCK) {
    range.isHole = true;
    return 0;
  }
  if (load<uint16_t>(bytes_ + index) != 0 || load<uint16_t>(bytes_ + index + 2) != 1) return EUCLEAN;
  range.deviceOffset = (static_cast<uint64_t>(block) << blockBits_) + within;
  return 0;
}

}  // namespace lazuli
