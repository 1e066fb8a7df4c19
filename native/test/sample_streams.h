#pragma once

#include <zlib.h>
#include <zstd.h>

#include <span>

#include "check.h"
#include "core/gzip_member.h"
#include "sample_table.h"

namespace lazuli::testing {

/** Bytes that deflate to literals and matches near and far, in many blocks. */
inline Bytes text(size_t length, uint64_t seed) {
  const Bytes random = noise(length, seed);
  Bytes bytes(length);
  for (size_t at = 0; at < length; at++) {
    const bool isCopy = at > 40'000 && random[at / 300] < 120;
    bytes[at] = isCopy ? bytes[at - 1 - random[at / 300] * 250U] : static_cast<uint8_t>('a' + random[at] % 26);
  }
  return bytes;
}

/** One member with all that a header may have, and blocks that end where deflate is told to. */
inline Bytes gzipWithHeader(std::span<const uint8_t> content, int level = 6) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  gz_header header{};
  uint8_t extra[] = {'x', 'y', 2, 0, 1, 2};
  uint8_t name[] = "a name";
  uint8_t comment[] = "a comment";
  header.text = 1;
  header.time = 12345;
  header.extra = extra;
  header.extra_len = sizeof extra;
  header.name = name;
  header.comment = comment;
  header.hcrc = 1;
  CHECK(deflateSetHeader(&stream, &header) == Z_OK);
  Bytes out(deflateBound(&stream, content.size()) + 100);
  stream.next_in = const_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline Bytes zstdFrame(std::span<const uint8_t> content, bool hasChecksum = true) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, hasChecksum ? 1 : 0);
  Bytes out(ZSTD_compressBound(content.size()));
  const size_t length = ZSTD_compress2(context, out.data(), out.size(), content.data(), content.size());
  ZSTD_freeCCtx(context);
  CHECK(ZSTD_isError(length) == 0);
  out.resize(length);
  return out;
}

inline void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

/** Members of other lengths, headers and levels, with empty ones between them. */
inline Bytes members(const Bytes& content) {
  Bytes joined;
  size_t at = 0;
  for (size_t index = 0; at < content.size(); index++) {
    const std::span part = std::span(content).subspan(at, std::min<size_t>(content.size() - at, 1000 + index * 7000));
    append(joined, index % 3 == 0 ? gzipWithHeader(part, index % 2 == 0 ? 1 : 9) : encodeMember(part, 6));
    if (index % 4 == 1) append(joined, encodeMember({}, 6));
    at += part.size();
  }
  return joined;
}

}  // namespace lazuli::testing
