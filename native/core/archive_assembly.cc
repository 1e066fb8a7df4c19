#include "archive_assembly.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "record_bytes.h"
#include "rooted_folders.h"
#include "syscalls.h"

namespace lazuli {
namespace {

constexpr size_t BUFFER_BYTES = 1U << 18;
constexpr uint64_t BLOCK_BYTES = 512;

/** Gathers what is written, so that a small file costs no call of its own. */
class Output {
 public:
  explicit Output(int file) : file_(file) { bytes_.reserve(BUFFER_BYTES); }

  void write(std::string_view piece) {
    while (!piece.empty()) {
      const size_t taken = std::min(piece.size(), BUFFER_BYTES - bytes_.size());
      bytes_.insert(bytes_.end(), piece.begin(), piece.begin() + static_cast<ptrdiff_t>(taken));
      piece.remove_prefix(taken);
      if (bytes_.size() == BUFFER_BYTES) flush();
    }
  }

  void flush() {
    for (size_t done = 0; done < bytes_.size();) {
      const ssize_t count = ::write(file_, bytes_.data() + done, bytes_.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw SystemCallError(errno, "write");
      done += static_cast<size_t>(count);
    }
    bytes_.clear();
  }

 private:
  int file_;
  std::vector<char> bytes_;
};

void copyFile(const Tree& root, const std::string& path, uint64_t sizeBytes, Output& output,
              const CancelFlag& isCancelled) {
  const auto [folder, name] = splitPath(path);
  const FileDescriptor parent = root.openFolder(std::string(folder));
  const FileDescriptor file(openat(parent.get(), std::string(name).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) throw SystemCallError(errno, "openat", path);
  std::vector<char> buffer(std::min<uint64_t>(sizeBytes, BUFFER_BYTES));
  for (uint64_t done = 0; done < sizeBytes;) {
    throwIfCancelled(isCancelled);
    const ssize_t count = read(file.get(), buffer.data(), std::min<uint64_t>(sizeBytes - done, buffer.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemCallError(errno, "read", path);
    if (count == 0) throw SystemCallError(ESTALE, "read", path);
    output.write({buffer.data(), static_cast<size_t>(count)});
    done += static_cast<uint64_t>(count);
  }
  static constexpr std::array<char, BLOCK_BYTES> zeros{};
  output.write({zeros.data(), (BLOCK_BYTES - sizeBytes % BLOCK_BYTES) % BLOCK_BYTES});
}

}  // namespace

void assembleArchive(const std::string& root, std::span<const uint8_t> records, int archive,
                     const CancelFlag& isCancelled) {
  const Tree tree(root);
  RecordReader reader(records);
  Output output(archive);
  while (!reader.isAtEnd()) {
    throwIfCancelled(isCancelled);
    output.write(reader.text());
    const std::string path(reader.text());
    const uint64_t sizeBytes = reader.number64();
    if (!path.empty()) copyFile(tree, path, sizeBytes, output, isCancelled);
  }
  output.flush();
}

}  // namespace lazuli
