// A meta image, read as the mount of a tree does. It ends with a page, so that what reads past it meets no memory.
#include "core/erofs_image.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

#include "core/crc32c.h"
#include "core/file_descriptor.h"
#include "input.h"

using namespace lazuli;

namespace {

constexpr size_t PAGE = 4096;
constexpr size_t SUPERBLOCK = 1024;
/** A damaged directory may hold itself. */
constexpr size_t NAMES_MAX = 500;

/** The superblock's sum after a change, so that the change is met further in. */
void sign(std::vector<uint8_t>& image) {
  if (image.size() < SUPERBLOCK + 512) return;
  const size_t block = image[SUPERBLOCK + 12] == 12 ? PAGE - SUPERBLOCK : 512;
  std::memset(&image[SUPERBLOCK + 4], 0, 4);
  const uint32_t sum = ~crc32c(&image[SUPERBLOCK], block);
  std::memcpy(&image[SUPERBLOCK + 4], &sum, 4);
}

void readInode(const ErofsImage& image, const ErofsInode& inode) {
  std::vector<uint8_t> names;
  std::span<const uint8_t> value;
  unsigned sum = 0;
  if (image.xattrNames(inode, names) == 0) {
    for (size_t at = 0; at < names.size();) {
      const std::string_view name(reinterpret_cast<const char*>(&names[at]));
      REQUIRE(image.xattr(inode, name, value) == 0);
      for (const uint8_t byte : value) sum += byte;
      at += name.size() + 1;
    }
  }
  if (image.readLink(inode, value) == 0) {
    for (const uint8_t byte : value) sum += byte;
  }
  ErofsRange range;
  for (const uint64_t offset : {uint64_t{0}, inode.size / 2, inode.size - 1, UINT64_MAX}) {
    if (image.fileRange(inode, offset, 1U << 20, range) == 0) REQUIRE(range.length <= 1U << 20);
  }
  // A use of the sum, so that the reads are not taken away.
  if (sum == UINT32_MAX) std::abort();
}

void walk(const ErofsImage& image) {
  std::deque<uint64_t> waiting{image.rootNid()};
  size_t seen = 0;
  while (!waiting.empty() && seen < NAMES_MAX) {
    ErofsInode inode;
    const int error = image.inode(waiting.front(), inode);
    waiting.pop_front();
    if (error != 0) continue;
    readInode(image, inode);
    uint64_t cookie = 0;
    ErofsEntry entry;
    while (seen < NAMES_MAX && image.next(inode, cookie, entry) == 0) {
      seen++;
      ErofsEntry found;
      image.lookup(inode, entry.name, found);
      if (entry.name != "." && entry.name != "..") waiting.push_back(entry.nid);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  bytes.resize((size + PAGE - 1) / PAGE * PAGE);
  sign(bytes);
  static const FileDescriptor file(memfd_create("image", MFD_CLOEXEC));
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return 0;
  std::unique_ptr<ErofsImage> image;
  if (ErofsImage::open(file.get(), image) == 0) walk(*image);
  return 0;
}
