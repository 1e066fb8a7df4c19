#include "core/stream_decoder.h"

#include <zlib.h>
#include <zstd.h>

#include "check.h"
#include "sample_table.h"

using namespace lazuli;
using namespace lazuli::testing;

namespace {

Bytes gzip(const Bytes& content) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, content.size()) + 32);
  stream.next_in = const_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes zstd(const Bytes& content) {
  Bytes out(ZSTD_compressBound(content.size()));
  const size_t length = ZSTD_compress(out.data(), out.size(), content.data(), content.size(), 3);
  CHECK(ZSTD_isError(length) == 0);
  out.resize(length);
  return out;
}

Bytes compress(Codec codec, const Bytes& content) {
  return codec == Codec::gzip ? gzip(content) : codec == Codec::zstd ? zstd(content) : content;
}

/** Half noise, half repetition: literals and matches both occur. */
Bytes sampleContent() {
  Bytes content = noise(70'000, 2);
  content.resize(140'000, 7);
  return content;
}

void readsParts(Codec codec) {
  const Bytes content = sampleContent();
  const Bytes stream = compress(codec, content);
  const auto decoder = StreamDecoder::make(codec, stream);
  CHECK(decoder->skip(1000) == DecodeStatus::ok);
  Bytes part(69'500);
  CHECK(decoder->read(part) == DecodeStatus::ok);
  CHECK(std::equal(part.begin(), part.end(), content.begin() + 1000));
  CHECK(decoder->skip(0) == DecodeStatus::ok);
  CHECK(decoder->position() == 70'500);
  CHECK(decoder->skip(69'500) == DecodeStatus::ok);
  CHECK(decoder->read({part.data(), 1}) == DecodeStatus::truncated);
  CHECK(decoder->read({part.data(), 1}) == DecodeStatus::truncated);
}

/** Wherever the stream is cut, the decoder says so, and gives nothing that was not in it. */
void survivesCuts(Codec codec) {
  const Bytes content = sampleContent();
  const Bytes stream = compress(codec, content);
  Bytes out(content.size());
  for (size_t length = 0; length < stream.size(); length += length < 100 ? 1 : 997) {
    const Bytes cut(stream.begin(), stream.begin() + static_cast<long>(length));
    const auto decoder = StreamDecoder::make(codec, cut);
    // The last bytes of gzip are its checksum, which is not needed.
    const bool mayBeWhole = codec == Codec::gzip && length + 16 > stream.size();
    CHECK(decoder->read(out) == DecodeStatus::truncated || mayBeWhole);
  }
}

/** Whatever a stranger writes: any status is right, a crash is not. */
void survivesNoise(Codec codec) {
  const Bytes content = sampleContent();
  const Bytes stream = compress(codec, content);
  Bytes out(content.size());
  for (uint64_t seed = 0; seed < 400; seed++) {
    Bytes changed = stream;
    const Bytes random = noise(24, seed + 10);
    for (size_t index = 0; index < 8; index++) {
      const size_t at = (random[index] << 8 | random[index + 8]) % (index < 4 ? 64 : changed.size());
      changed[at] ^= random[index + 16];
    }
    const auto decoder = StreamDecoder::make(codec, changed);
    while (decoder->read({out.data(), 30'000}) == DecodeStatus::ok) CHECK(decoder->position() < 10'000'000);
  }
}

void joinsMembers() {
  Bytes joined;
  const Bytes content = sampleContent();
  const Bytes empty = gzip({});
  for (size_t at = 0; at < content.size(); at += 10'000) {
    const Bytes part = gzip({content.begin() + static_cast<long>(at), content.begin() + static_cast<long>(at + 10'000)});
    joined.insert(joined.end(), part.begin(), part.end());
    joined.insert(joined.end(), empty.begin(), empty.end());
  }
  Bytes out(content.size());
  CHECK(StreamDecoder::make(Codec::gzip, joined)->read(out) == DecodeStatus::ok);
  CHECK(out == content);
  Bytes many;
  for (int index = 0; index < 50'000; index++) many.insert(many.end(), empty.begin(), empty.end());
  CHECK(StreamDecoder::make(Codec::gzip, many)->read(out) == DecodeStatus::truncated);
}

void refusesWideWindows() {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 28);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  const Bytes content(1000, 1);
  Bytes frame(2000);
  ZSTD_inBuffer in{content.data(), content.size(), 0};
  ZSTD_outBuffer out{frame.data(), frame.size(), 0};
  CHECK(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush) == 0);
  CHECK(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end) == 0);
  ZSTD_freeCCtx(context);
  frame.resize(out.pos);
  Bytes decoded(1000);
  CHECK(StreamDecoder::make(Codec::zstd, frame)->read(decoded) == DecodeStatus::corrupt);
}

}  // namespace

int main() {
  for (const Codec codec : {Codec::raw, Codec::gzip, Codec::zstd}) {
    readsParts(codec);
    survivesCuts(codec);
    survivesNoise(codec);
  }
  joinsMembers();
  refusesWideWindows();
}
