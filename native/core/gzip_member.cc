#include "gzip_member.h"

#include <zlib.h>

#include <new>
#include <stdexcept>

namespace lazuli {
namespace {

constexpr int GZIP_ONLY = 16;
constexpr int MEMORY_LEVEL = 8;
constexpr int UNKNOWN_SYSTEM = 255;

}  // namespace

std::vector<uint8_t> encodeMember(std::span<const uint8_t> content, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + GZIP_ONLY, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  gz_header header{};
  header.os = UNKNOWN_SYSTEM;
  deflateSetHeader(&stream, &header);
  std::vector<uint8_t> member(deflateBound(&stream, content.size()));
  stream.next_in = const_cast<Bytef*>(content.data());  // zlib reads it only
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = member.data();
  stream.avail_out = static_cast<uInt>(member.size());
  const int result = deflate(&stream, Z_FINISH);
  member.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("zlib can't compress");
  return member;
}

}  // namespace lazuli
