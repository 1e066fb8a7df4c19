#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace lazuli {

/** How the content of an inode is stored; the numbers of the format. */
enum class ErofsLayout : uint8_t { plain = 0, inlineTail = 2, chunks = 4 };

/** An inode as the image has it. */
struct ErofsInode {
  uint64_t nid;
  uint64_t size;
  int64_t mtimeSeconds;
  uint32_t mtimeNanoseconds;
  /** Type and permissions, as in st_mode. */
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  uint32_t links;
  /** Of a character or block device, in the encoding that FUSE and the kernel share; else 0. */
  uint32_t device;
  /** 1 to the number of inodes. */
  uint32_t ino;
  ErofsLayout layout;
  /** The format's i_u: first block, chunk format or device. */
  uint32_t raw;
  /** Offset and length in the image of the extended attributes; the length is 0 where there are none. */
  uint64_t xattrOffset;
  uint32_t xattrSize;
};

/** One name in a directory. */
struct ErofsEntry {
  /** Lives as long as the image. */
  std::string_view name;
  uint64_t nid;
  /** DT_*. */
  uint8_t type;
};

/** A piece of a file: bytes of extra device 1 (the layer's data file), or zeros. */
struct ErofsRange {
  uint64_t deviceOffset;
  uint64_t length;
  bool isHole;
};

/**
 * A bounds-checked, read-only view of a mapped meta image as src/erofs writes it: extended inodes, little-endian, file
 * content as chunks of extra device 1. Functions return 0 or an errno: EUCLEAN where the image is damaged or not of our
 * subset. Const functions may be called from many threads.
 *
 * The file under the map must not be cut short while the image lives: a page that is gone is a SIGBUS.
 */
class ErofsImage {
 public:
  /** Maps the whole file and checks the superblock. `fd` may be closed afterwards. */
  static int open(int fd, std::unique_ptr<ErofsImage>& image);
  ~ErofsImage();
  ErofsImage(const ErofsImage&) = delete;
  ErofsImage& operator=(const ErofsImage&) = delete;

  uint64_t rootNid() const { return rootNid_; }
  uint64_t inodeCount() const { return inodeCount_; }
  uint32_t blockSize() const { return 1U << blockBits_; }
  /** At least one inode may have extended attributes. Taken from a mark that our writer leaves in the superblock. */
  bool hasXattrs() const { return hasXattrs_; }

  int inode(uint64_t nid, ErofsInode& inode) const;
  /** ENOENT where there is no such name, ENOTDIR. Knows "." and "..". */
  int lookup(const ErofsInode& directory, std::string_view name, ErofsEntry& entry) const;
  /**
   * The entry at `cookie`, which then moves behind it. 0 is the first; cookies stay valid for ever. "." and ".." stand
   * where they sort. ENOENT behind the last entry.
   */
  int next(const ErofsInode& directory, uint64_t& cookie, ErofsEntry& entry) const;
  /** `target` lives as long as the image. EINVAL where it is no symbolic link. */
  int readLink(const ErofsInode& link, std::span<const uint8_t>& target) const;
  /** By its full name. ENODATA where there is none. `value` lives as long as the image. */
  int xattr(const ErofsInode& inode, std::string_view name, std::span<const uint8_t>& value) const;
  /** All full names, each with its zero byte, as listxattr(2) gives them. */
  int xattrNames(const ErofsInode& inode, std::vector<uint8_t>& names) const;
  /** The contiguous piece at `offset` of at most `length` bytes. Its length is 0 at the end of the file. */
  int fileRange(const ErofsInode& file, uint64_t offset, uint64_t length, ErofsRange& range) const;

 private:
  struct Block {
    const uint8_t* bytes;
    uint32_t size;
    uint32_t count;
  };
  struct Xattr {
    std::string_view prefix;
    std::string_view suffix;
    std::span<const uint8_t> value;
  };

  ErofsImage(const uint8_t* bytes, uint64_t size) : bytes_(bytes), size_(size) {}

  int readSuperblock();
  bool contains(uint64_t offset, uint64_t length) const { return offset <= size_ && length <= size_ - offset; }
  int directoryBlock(const ErofsInode& directory, uint64_t index, Block& block) const;
  int entryOf(const Block& block, uint32_t index, ErofsEntry& entry) const;
  int findBlock(const ErofsInode& directory, std::string_view name, Block& block) const;
  /** The attribute at `offset` of the image, which then moves behind it. ENOENT behind the last. */
  int nextXattr(const ErofsInode& inode, uint64_t& offset, Xattr& xattr) const;
  uint64_t inodeEnd(const ErofsInode& inode) const;

  const uint8_t* const bytes_;
  const uint64_t size_;
  uint64_t rootNid_ = 0;
  uint64_t inodeCount_ = 0;
  uint32_t blockBits_ = 0;
  bool hasXattrs_ = false;
};

}  // namespace lazuli
