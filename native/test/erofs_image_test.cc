// Without arguments: reads each sample image whole, and then damaged at every byte and cut at every length.
// With "--list <image>": prints what the image holds, one line for each name, for a test that knows what it must hold.
#include "core/erofs_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <deque>
#include <string>

#include "check.h"
#include "core/crc32c.h"
#include "core/file_descriptor.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using namespace lazuli;

namespace {

/** Names that a walk looks at: a damaged directory may hold itself. */
constexpr size_t NAMES_MAX = 2000;
constexpr uint64_t SUPERBLOCK = 1024;

std::vector<uint8_t> readFile(const char* path) {
  const FileDescriptor fd(open(path, O_RDONLY | O_CLOEXEC));
  CHECK(fd);
  struct stat status {};
  CHECK(fstat(fd.get(), &status) == 0);
  std::vector<uint8_t> bytes(static_cast<size_t>(status.st_size));
  CHECK(read(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  return bytes;
}

/** The superblock's sum after a change, so that the change is met further in. */
void sign(std::vector<uint8_t>& image) {
  if (image.size() < SUPERBLOCK + 512) return;
  const size_t block = image[SUPERBLOCK + 12] == 12 ? 4096 - SUPERBLOCK : 512;
  if (image.size() < SUPERBLOCK + block) return;
  std::memset(&image[SUPERBLOCK + 4], 0, 4);
  const uint32_t sum = ~crc32c(&image[SUPERBLOCK], block);
  std::memcpy(&image[SUPERBLOCK + 4], &sum, 4);
}

/** An image in memory that ends where its file ends: the rest of its last page must not be read. */
class Mapped {
 public:
  explicit Mapped(const std::vector<uint8_t>& bytes) : file_(memfd_create("image", MFD_CLOEXEC)), size_(bytes.size()) {
    CHECK(file_);
    CHECK(write(file_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    error_ = ErofsImage::open(file_.get(), image_);
  }
  ~Mapped() { guard(false); }

  int error() const { return error_; }
  const ErofsImage& image() const { return *image_; }

  /** `inside` is a byte of the map, from which its first page is found: images here have a page or more before it. */
  void guardFrom(const char* inside, uint64_t offset) {
    first_ = inside - offset;
    guard(true);
  }

 private:
  void guard(bool isForbidden) const {
#if defined(__SANITIZE_ADDRESS__)
    if (first_ == nullptr) return;
    const size_t rest = (4096 - size_ % 4096) % 4096;
    if (isForbidden) __asan_poison_memory_region(first_ + size_, rest);
    else __asan_unpoison_memory_region(first_ + size_, rest);
#else
    (void)isForbidden;
#endif
  }

  FileDescriptor file_;
  size_t size_;
  std::unique_ptr<ErofsImage> image_;
  int error_ = 0;
  const char* first_ = nullptr;
};

bool isExpected(int error) {
  return error == 0 || error == EUCLEAN || error == ENOENT || error == ENOTDIR || error == EINVAL || error == ENODATA;
}

void touchXattrs(const ErofsImage& image, const ErofsInode& inode) {
  std::vector<uint8_t> names;
  const int error = image.xattrNames(inode, names);
  CHECK(isExpected(error));
  std::span<const uint8_t> value;
  for (size_t at = 0; at < names.size();) {
    const std::string_view name(reinterpret_cast<const char*>(&names[at]));
    const int found = image.xattr(inode, name, value);
    CHECK(found == 0);
    CHECK(value.size() < inode.xattrSize);
    if (!value.empty()) CHECK(value.back() + 1 > 0);
    at += name.size() + 1;
  }
  CHECK(isExpected(image.xattr(inode, "user.nobody-has-this", value)));
}

void touchFile(const ErofsImage& image, const ErofsInode& inode) {
  ErofsRange range;
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, inode.size / 2, inode.size - 1, inode.size, UINT64_MAX}) {
    for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 20, UINT64_MAX}) {
      if (image.fileRange(inode, offset, length, range) != 0) continue;
      CHECK(range.length <= length);
      CHECK(range.length == 0 || (offset < inode.size && range.length <= inode.size - offset));
    }
  }
}

/** Reads all that can be read. Returns how many names were found, or the first error of the walk. */
int64_t walk(const ErofsImage& image) {
  std::deque<uint64_t> waiting{image.rootNid()};
  int64_t seen = 0;
  int worst = 0;
  while (!waiting.empty() && seen < static_cast<int64_t>(NAMES_MAX)) {
    ErofsInode inode;
    int error = image.inode(waiting.front(), inode);
    waiting.pop_front();
    std::span<const uint8_t> target;
    if (error == 0) {
      touchXattrs(image, inode);
      touchFile(image, inode);
      const int link = image.readLink(inode, target);
      CHECK(isExpected(link));
      if (link == 0) CHECK(target.back() != 0);
    }
    uint64_t cookie = 0;
    ErofsEntry entry;
    while (error == 0 && (error = image.next(inode, cookie, entry)) == 0 && seen < static_cast<int64_t>(NAMES_MAX)) {
      seen++;
      ErofsEntry found;
      CHECK(isExpected(image.lookup(inode, entry.name, found)));
      if (entry.name != "." && entry.name != "..") waiting.push_back(entry.nid);
    }
    if (error != 0 && error != ENOENT && error != ENOTDIR) worst = error;
  }
  return worst != 0 ? -worst : seen;
}

/** Every name of a whole image is found again, and no other. */
void checkLookups(const ErofsImage& image) {
  std::deque<uint64_t> waiting{image.rootNid()};
  while (!waiting.empty()) {
    ErofsInode directory;
    CHECK(image.inode(waiting.front(), directory) == 0);
    waiting.pop_front();
    std::string before;
    uint64_t cookie = 0;
    ErofsEntry entry;
    while (image.next(directory, cookie, entry) == 0) {
      CHECK(before < entry.name);
      before = entry.name;
      ErofsEntry found;
      CHECK(image.lookup(directory, entry.name, found) == 0);
      CHECK(found.nid == entry.nid && found.type == entry.type && found.name == entry.name);
      CHECK(image.lookup(directory, before + "\1", found) == ENOENT);
      if (entry.type == DT_DIR && entry.name != "." && entry.name != "..") waiting.push_back(entry.nid);
    }
    ErofsEntry none;
    CHECK(image.lookup(directory, "", none) == ENOENT);
    CHECK(image.lookup(directory, "\xff\xff", none) == ENOENT);
    CHECK(image.next(directory, cookie, none) == ENOENT);
    cookie = UINT64_MAX;
    CHECK(image.next(directory, cookie, none) == ENOENT);
  }
}

void tryImage(const std::vector<uint8_t>& bytes) {
  Mapped mapped(bytes);
  if (mapped.error() != 0) return;
  ErofsInode root;
  ErofsEntry first;
  uint64_t cookie = 0;
  CHECK(mapped.image().inode(mapped.image().rootNid(), root) == 0);
  // The first name of a small root stands behind the root's inode, whose place is known.
  if (root.layout == ErofsLayout::inlineTail && mapped.image().next(root, cookie, first) == 0) {
    const uint64_t begin = root.xattrOffset + root.xattrSize;
    const uint64_t names = bytes[begin + 8] | bytes[begin + 9] << 8;
    mapped.guardFrom(first.name.data(), begin + names);
  }
  walk(mapped.image());
}

/** `step` 1 is every byte. */
void damage(const std::vector<uint8_t>& sample, size_t step) {
  std::vector<uint8_t> image = sample;
  for (size_t at = SUPERBLOCK; at < sample.size(); at += step) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      image[at] = static_cast<uint8_t>(sample[at] ^ flip);
      if (at < SUPERBLOCK + 128) tryImage(image);
      sign(image);
      tryImage(image);
      image = sample;
    }
  }
  for (size_t at = SUPERBLOCK + 128; at + 8 <= sample.size(); at += 2 * step) {
    for (const size_t width : {2, 4, 8}) {
      std::memset(&image[at], 0xff, width);
      sign(image);
      tryImage(image);
      image = sample;
    }
  }
  for (size_t length = 0; length < sample.size(); length++) {
    Mapped mapped(std::vector<uint8_t>(sample.begin(), sample.begin() + static_cast<ptrdiff_t>(length)));
    CHECK(mapped.error() == EUCLEAN);
  }
  const size_t block = size_t{1} << sample[SUPERBLOCK + 12];
  for (size_t blocks = SUPERBLOCK / block + 1; blocks * block < sample.size(); blocks++) {
    std::vector<uint8_t> cut(sample.begin(), sample.begin() + static_cast<ptrdiff_t>(blocks * block));
    if (cut.size() < SUPERBLOCK + 128) continue;
    std::memcpy(&cut[SUPERBLOCK + 36], &blocks, 4);
    sign(cut);
    tryImage(cut);
  }
}

/** Attributes that claim to reach behind the end of the image, with a value that does. */
void checkHugeXattrs(const std::vector<uint8_t>& sample) {
  std::vector<uint8_t> image = sample;
  {
    const Mapped mapped(sample);
    ErofsInode inode;
    ErofsEntry entry;
    CHECK(mapped.image().inode(mapped.image().rootNid(), inode) == 0);
    CHECK(mapped.image().lookup(inode, "shared", entry) == 0);
    CHECK(mapped.image().inode(entry.nid, inode) == 0 && inode.xattrSize > 0);
    std::memset(&image[inode.xattrOffset - 64 + 2], 0xff, 2);
    std::memset(&image[inode.xattrOffset + 12 + 2], 0xff, 2);
  }
  sign(image);
  const Mapped mapped(image);
  CHECK(mapped.error() == 0);
  CHECK(walk(mapped.image()) == -EUCLEAN);
}

std::string hex(std::string_view bytes) {
  std::string text;
  char digits[3];
  for (const char byte : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

std::string hex(std::span<const uint8_t> bytes) {
  return hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string contentOf(const ErofsImage& image, const ErofsInode& inode) {
  std::span<const uint8_t> target;
  if (image.readLink(inode, target) == 0) return hex(target);
  if (!S_ISREG(inode.mode)) return "-";
  uint64_t begin = 0;
  uint64_t length = 0;
  while (length < inode.size) {
    ErofsRange range;
    CHECK(image.fileRange(inode, length, UINT64_MAX, range) == 0 && range.length > 0 && !range.isHole);
    if (length == 0) begin = range.deviceOffset;
    CHECK(range.deviceOffset == begin + length);
    length += range.length;
  }
  return std::to_string(begin) + "+" + std::to_string(length);
}

std::string xattrsOf(const ErofsImage& image, const ErofsInode& inode) {
  std::vector<uint8_t> names;
  CHECK(image.xattrNames(inode, names) == 0);
  std::string text;
  for (size_t at = 0; at < names.size();) {
    const std::string name(reinterpret_cast<const char*>(&names[at]));
    std::span<const uint8_t> value;
    CHECK(image.xattr(inode, name, value) == 0);
    text += (text.empty() ? "" : ",") + hex(name) + "=" + hex(value);
    at += name.size() + 1;
  }
  return text;
}

void printInode(const ErofsImage& image, const std::string& path, uint64_t nid) {
  ErofsInode inode;
  CHECK(image.inode(nid, inode) == 0);
  const uint64_t size = S_ISDIR(inode.mode) ? 0 : inode.size;
  std::printf("%s %o %u:%u %" PRId64 ".%u %" PRIu64 " links=%u device=%u ino=%u %s %s\n", hex(path).c_str(), inode.mode,
              inode.uid, inode.gid, inode.mtimeSeconds, inode.mtimeNanoseconds, size, inode.links, inode.device,
              inode.ino, contentOf(image, inode).c_str(), xattrsOf(image, inode).c_str());
}

void list(const ErofsImage& image) {
  std::deque<std::pair<std::string, uint64_t>> waiting{{".", image.rootNid()}};
  printInode(image, ".", image.rootNid());
  while (!waiting.empty()) {
    const auto [path, nid] = waiting.front();
    waiting.pop_front();
    ErofsInode directory;
    CHECK(image.inode(nid, directory) == 0);
    uint64_t cookie = 0;
    ErofsEntry entry;
    int error = 0;
    while ((error = image.next(directory, cookie, entry)) == 0) {
      if (entry.name == "." || entry.name == "..") continue;
      const std::string inner = path + "/" + std::string(entry.name);
      printInode(image, inner, entry.nid);
      if (entry.type == DT_DIR) waiting.emplace_back(inner, entry.nid);
    }
    CHECK(error == ENOENT);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::string_view(arguments[1]) == "--list") {
    const Mapped mapped(readFile(arguments[2]));
    CHECK(mapped.error() == 0);
    std::printf("xattrs=%d inodes=%" PRIu64 "\n", mapped.image().hasXattrs(), mapped.image().inodeCount());
    list(mapped.image());
    checkLookups(mapped.image());
    return 0;
  }
  CHECK(count == 1);
  for (const char* path : {"native/test/sample-512.erofs", "native/test/sample-4096.erofs"}) {
    const std::vector<uint8_t> sample = readFile(path);
    const Mapped mapped(sample);
    CHECK(mapped.error() == 0);
    CHECK(mapped.image().hasXattrs());
    CHECK(walk(mapped.image()) > 20);
    checkLookups(mapped.image());
    checkHugeXattrs(sample);
    // The larger sample has the same parts, and more of what is nothing but names.
    damage(sample, sample.size() > 8192 ? 11 : 1);
  }
}
