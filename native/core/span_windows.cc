#include "span_windows.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "positioned_io.h"

namespace lazuli {
namespace {

[[noreturn]] void refuse(size_t count) {
  throw std::invalid_argument("Cannot use windows: " + std::to_string(count) + " of " + std::to_string(WINDOW_BYTES) +
                              " bytes are wanted, one for each span");
}

}  // namespace

SpanWindows::SpanWindows(std::span<const uint8_t> bytes, size_t count) : count_(count) {
  size_t wanted;
  if (__builtin_mul_overflow(count, WINDOW_BYTES, &wanted) || bytes.size() != wanted) refuse(count);
  bytes_.assign(bytes.begin(), bytes.end());
}

SpanWindows::SpanWindows(FileDescriptor file, uint64_t offset, size_t count)
    : file_(std::move(file)), offset_(offset), count_(count) {
  struct stat status;
  if (fstat(file_.get(), &status) != 0) throw std::system_error(errno, std::generic_category(), "fstat");
  uint64_t end;
  if (__builtin_mul_overflow(uint64_t{count}, uint64_t{WINDOW_BYTES}, &end) || __builtin_add_overflow(end, offset, &end) ||
      end > static_cast<uint64_t>(status.st_size)) {
    refuse(count);
  }
}

int SpanWindows::read(size_t index, std::span<uint8_t> window) const {
  if (index >= count_) return -EINVAL;
  const uint64_t at = uint64_t{index} * WINDOW_BYTES;
  if (!file_) {
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at), WINDOW_BYTES, window.begin());
    return 0;
  }
  const int64_t got = readAt(file_.get(), offset_ + at, window.first(WINDOW_BYTES));
  if (got < 0) return static_cast<int>(got);
  return static_cast<size_t>(got) == WINDOW_BYTES ? 0 : -EIO;
}

}  // namespace lazuli
