#include "core/stream_indexer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "core/positioned_io.h"
#include "core/span_decoder.h"
#include "core/stream_error.h"
#include "sample_streams.h"

using namespace lazuli;
using namespace lazuli::testing;

namespace {

using Codec = SpanScanner::Codec;

struct Run {
  FileDescriptor file{memfd_create("indexer_test", MFD_CLOEXEC)};
  std::optional<StreamIndexer> indexer;

  Run(Codec codec, uint64_t spanBytes, uint64_t dataSizeMax = 1'000'000) {
    indexer.emplace(StreamIndexer::Options{codec, FileDescriptor(dup(file.get())), spanBytes, spanBytes >= 1000, dataSizeMax});
  }

  StreamIndexer::Result feed(const Bytes& blob, size_t pieceBytes) {
    for (size_t at = 0; at < blob.size(); at += pieceBytes) {
      if (!indexer->hasRoom()) indexer->waitForRoom();
      indexer->push(std::span(blob).subspan(at, std::min(pieceBytes, blob.size() - at)));
    }
    return indexer->finish();
  }

  Bytes written() const {
    struct stat status;
    CHECK(fstat(file.get(), &status) == 0);
    Bytes bytes(static_cast<size_t>(status.st_size));
    CHECK(readAt(file.get(), 0, bytes) == status.st_size);
    return bytes;
  }
};

/** What stands in the window of a span, and the span itself, come from the blob and the data alone. */
void checkSpan(const Bytes& blob, const Bytes& data, const StreamIndexer::Result& result, size_t index, Codec codec) {
  const IndexedSpan& span = result.spans[index];
  CHECK(span.dataOffset + span.dataLength <= data.size() && span.blobOffset + span.blobLength <= blob.size());
  const std::span want = std::span(data).subspan(span.dataOffset, span.dataLength);
  const std::span range = std::span(blob).subspan(span.blobOffset, span.blobLength);
  CHECK(sha256(want) == span.dataSha256 && sha256(range) == span.blobSha256);
  Bytes got(span.dataLength);
  // The range ends where it does: a copy tells ASAN.
  const Bytes exactly(range.begin(), range.end());
  if (codec != Codec::gzip) {
    const auto decoder = StreamDecoder::make(codec == Codec::zstd ? lazuli::Codec::zstd : lazuli::Codec::raw, exactly);
    CHECK(decoder->skip(span.innerOffset) == DecodeStatus::ok && decoder->read(got) == DecodeStatus::ok);
  } else {
    Bytes window(WINDOW_BYTES);
    const size_t known = std::min<size_t>(WINDOW_BYTES, span.dataOffset);
    std::copy_n(data.begin() + static_cast<long>(span.dataOffset - known), known, window.end() - static_cast<long>(known));
    if (!result.windows.empty()) {
      CHECK(std::equal(window.begin(), window.end(), result.windows.begin() + static_cast<long>(index * WINDOW_BYTES)));
    }
    SpanDecoder decoder({exactly, static_cast<unsigned>(span.innerOffset), window});
    const size_t half = got.size() / 2;
    CHECK(decoder.read(std::span(got).first(half)) == DecodeStatus::ok);
    CHECK(decoder.read(std::span(got).subspan(half)) == DecodeStatus::ok);
  }
  CHECK(std::equal(got.begin(), got.end(), want.begin()));
}

size_t checkStream(Codec codec, const Bytes& blob, const Bytes& data, uint64_t spanBytes, size_t pieceBytes) {
  Run run(codec, spanBytes);
  const StreamIndexer::Result result = run.feed(blob, pieceBytes);
  CHECK(run.written() == data);
  CHECK(result.dataSize == data.size() && result.blobSize == blob.size());
  CHECK(result.dataSha256 == sha256(data) && result.blobSha256 == sha256(blob));
  uint64_t end = 0;
  for (size_t index = 0; index < result.spans.size(); index++) {
    const IndexedSpan& span = result.spans[index];
    CHECK(span.dataOffset == end);
    end += span.dataLength;
    const bool isLast = index + 1 == result.spans.size();
    CHECK(isLast || (codec == Codec::gzip ? span.dataLength > spanBytes : span.dataLength <= spanBytes));
    CHECK(isLast || span.dataLength > 0);
    checkSpan(blob, data, result, index, codec);
  }
  CHECK(end == data.size());
  return result.spans.size();
}

void indexesGzip() {
  const Bytes data = text(900'000, 3);
  const Bytes one = encodeMember(data, 6);
  CHECK(checkStream(Codec::gzip, one, data, 1, one.size()) > 10);
  CHECK(checkStream(Codec::gzip, one, data, 30'000, 1000) > 5);
  CHECK(checkStream(Codec::gzip, one, data, 5'000'000, 70'000) == 1);
  const Bytes many = members(data);
  CHECK(checkStream(Codec::gzip, many, data, 1, 4096) > 20);
  CHECK(checkStream(Codec::gzip, many, data, 20'000, 1) > 10);
  // Stored blocks begin at whole bytes, and hold nothing to look up.
  const Bytes random = noise(400'000, 4);
  CHECK(checkStream(Codec::gzip, encodeMember(random, 9), random, 1000, 3333) > 3);
  CHECK(checkStream(Codec::gzip, encodeMember({}, 6), {}, 1000, 100) == 1);
}

void indexesZstd() {
  const Bytes data = text(500'000, 5);
  CHECK(checkStream(Codec::zstd, zstdFrame(data), data, 100'000, 999) == 5);
  Bytes frames;
  for (size_t at = 0; at < data.size(); at += 10'000) append(frames, zstdFrame(std::span(data).subspan(at, 10'000)));
  append(frames, {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3});
  for (const size_t piece : {1UL, 777UL, frames.size()}) {
    CHECK(checkStream(Codec::zstd, frames, data, 10'000, piece) == 51);
    CHECK(checkStream(Codec::zstd, frames, data, 25'000, piece) == 33);
  }
}

void indexesRaw() {
  const Bytes data = text(700'001, 6);
  CHECK(checkStream(Codec::raw, data, data, 100'000, 7777) == 8);
  CHECK(checkStream(Codec::raw, data, data, 700'001, data.size()) == 1);
  CHECK(checkStream(Codec::raw, {}, {}, 1000, 1) == 0);
}

void leavesHoles() {
  Bytes data(3'000'000);
  data[1'500'000] = 1;
  Run run(Codec::gzip, 1'000'000, data.size());
  run.feed(encodeMember(data, 6), 1000);
  CHECK(run.written() == data);
  struct stat status;
  CHECK(fstat(run.file.get(), &status) == 0 && status.st_blocks <= 8);
}

std::optional<StreamFault> faultOf(Codec codec, const Bytes& blob, uint64_t dataSizeMax = 1'000'000) {
  Run run(codec, 500, dataSizeMax);
  try {
    run.feed(blob, 50);
  } catch (const StreamError& error) {
    return error.fault();
  }
  return std::nullopt;
}

void namesFaults() {
  const Bytes data = text(3000, 7);
  const Bytes good = encodeMember(data, 6);
  const auto changed = [&](Bytes bytes, size_t at) {
    bytes[at] ^= 0x10;
    return bytes;
  };
  const auto with = [&](Bytes bytes, const Bytes& more) {
    append(bytes, more);
    return bytes;
  };
  CHECK(faultOf(Codec::gzip, changed(good, 0)) == StreamFault::corrupt);
  CHECK(faultOf(Codec::gzip, changed(good, good.size() - 8)) == StreamFault::checksum);
  CHECK(faultOf(Codec::gzip, changed(good, good.size() - 1)) == StreamFault::length);
  CHECK(faultOf(Codec::gzip, with(good, {0, 0})) == StreamFault::trailingGarbage);
  CHECK(faultOf(Codec::gzip, with(good, {0x1f, 0x8c})) == StreamFault::trailingGarbage);
  CHECK(faultOf(Codec::gzip, with(good, {0x1f})) == StreamFault::truncated);
  CHECK(faultOf(Codec::gzip, with(good, good)) == std::nullopt);
  CHECK(faultOf(Codec::gzip, {}) == StreamFault::truncated);
  CHECK(faultOf(Codec::gzip, good, 2999) == StreamFault::tooLarge);
  CHECK(faultOf(Codec::gzip, good, 3000) == std::nullopt);
  CHECK(faultOf(Codec::raw, data, 2999) == StreamFault::tooLarge);
  const Bytes frame = zstdFrame(data);
  CHECK(faultOf(Codec::zstd, changed(frame, 0)) == StreamFault::corrupt);
  CHECK(faultOf(Codec::zstd, changed(frame, frame.size() - 1)) == StreamFault::checksum);
  CHECK(faultOf(Codec::zstd, with(frame, {1, 2, 3, 4, 5, 6, 7, 8})) == StreamFault::trailingGarbage);
  CHECK(faultOf(Codec::zstd, with(frame, {0})) == StreamFault::trailingGarbage);
  CHECK(faultOf(Codec::zstd, with(frame, {0x28})) == StreamFault::truncated);
  // Format 0.7, whose frames libzstd would decode.
  CHECK(faultOf(Codec::zstd, {0x27, 0xb5, 0x2f, 0xfd}) == StreamFault::corrupt);
  // One block of a byte and an empty one, where the header tells of two bytes.
  CHECK(faultOf(Codec::zstd, {0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 8, 0, 0, 'x', 1, 0, 0}) == StreamFault::corrupt);
  CHECK(faultOf(Codec::zstd, {0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 8, 0, 0, 'x', 1, 0, 0}) == std::nullopt);
  CHECK(faultOf(Codec::zstd, frame, 2999) == StreamFault::tooLarge);
  CHECK(faultOf(Codec::zstd, {}) == StreamFault::truncated);
}

/** Any cut is told, and any flipped bit: gzip has a checksum of all but its header. */
void findsDamageEverywhere() {
  const Bytes data = text(300, 8);
  Bytes blob = gzipWithHeader(data);
  append(blob, encodeMember(data, 6));
  const size_t firstEnd = blob.size() - encodeMember(data, 6).size();
  for (size_t length = 0; length < blob.size(); length++) {
    const std::optional<StreamFault> fault = faultOf(Codec::gzip, Bytes(blob.begin(), blob.begin() + static_cast<long>(length)));
    CHECK(length == firstEnd ? fault == std::nullopt : fault == StreamFault::truncated);
  }
  for (size_t at = 0; at < blob.size(); at++) {
    Bytes damaged = blob;
    damaged[at] ^= static_cast<uint8_t>(1U << (at % 8));
    const bool isSecondHeader = at >= firstEnd + 4 && at < firstEnd + 10;
    CHECK(faultOf(Codec::gzip, damaged) != std::nullopt || isSecondHeader);
  }
}

/** Whatever a stranger's span is: any status is right, a crash or a read beyond it is not. */
void survivesBadSpans() {
  const Bytes data = text(120'000, 9);
  const Bytes blob = members(data);
  Run run(Codec::gzip, 20'000);
  const StreamIndexer::Result result = run.feed(blob, 9999);
  CHECK(result.spans.size() > 3);
  Bytes out(data.size());
  const Bytes window(WINDOW_BYTES, 'w');
  const IndexedSpan& span = result.spans[1];
  for (size_t length = 0; length < span.blobLength; length += length < 40 ? 1 : 37) {
    const Bytes cut(blob.begin() + static_cast<long>(span.blobOffset), blob.begin() + static_cast<long>(span.blobOffset + length));
    SpanDecoder decoder({cut, static_cast<unsigned>(span.innerOffset), window});
    // The last bytes may be a trailer and the header of the next member, of which the span needs nothing.
    const bool mayBeWhole = length + 80 > span.blobLength;
    CHECK(decoder.read(std::span(out).first(span.dataLength)) == DecodeStatus::truncated || mayBeWhole);
  }
  for (uint64_t seed = 0; seed < 400; seed++) {
    const Bytes random = noise(8, seed);
    Bytes bytes(blob.begin() + static_cast<long>(span.blobOffset), blob.end());
    for (size_t index = 0; index < 6; index++) bytes[random[index] * (index < 3 ? 1U : 9U) % bytes.size()] ^= random[index + 1];
    SpanDecoder decoder({bytes, random[7] % 8U, window});
    while (decoder.read({out.data(), 10'000}) == DecodeStatus::ok) CHECK(decoder.position() < 50'000'000);
  }
}

void stopsWhenClosed() {
  const Bytes piece = noise(1'000'000, 10);
  Run run(Codec::raw, 1'000'000, uint64_t{1} << 39);
  for (int turn = 0; turn < 20; turn++) {
    if (!run.indexer->hasRoom()) run.indexer->waitForRoom();
    run.indexer->push(piece);
  }
  run.indexer->close();
  run.indexer->close();
  CHECK_THROWS(std::system_error, run.indexer->push(piece));
  CHECK_THROWS(std::system_error, run.indexer->waitForRoom());
  CHECK_THROWS(std::system_error, run.indexer->finish());
  Run unused(Codec::gzip, 1'000'000);
}

void refusesOptions() {
  const auto make = [](Codec codec, uint64_t spanBytes, uint64_t dataSizeMax, bool keepsWindows, const char* path) {
    StreamIndexer({codec, FileDescriptor(open(path, O_RDWR)), spanBytes, keepsWindows, dataSizeMax});
    return true;
  };
  CHECK_THROWS(std::invalid_argument, make(Codec::gzip, 1000, 1000, true, "/dev/null"));
  char path[] = "/tmp/lazuli-indexer-XXXXXX";
  const FileDescriptor file(mkstemp(path));
  CHECK(make(Codec::gzip, 1000, 16'384'000, true, path));
  CHECK_THROWS(std::invalid_argument, make(Codec::gzip, 1000, 16'385'000, true, path));
  CHECK(make(Codec::gzip, 1000, 16'385'000, false, path));
  CHECK_THROWS(std::invalid_argument, make(Codec::raw, 1, 1'000'001, true, path));
  CHECK_THROWS(std::invalid_argument, make(Codec::raw, 0, 0, true, path));
  CHECK(unlink(path) == 0);
}

/** One header: a type, and a size as octal digits. */
Bytes tarHeader(char type, const char* size) {
  Bytes block(512);
  block[0] = 'n';
  std::copy_n(size, std::strlen(size), block.begin() + 124);
  block[156] = static_cast<uint8_t>(type);
  return block;
}

std::vector<uint64_t> keptOffsets(const Bytes& tar, size_t pieceBytes) {
  TarHeaders headers;
  for (size_t at = 0; at < tar.size(); at += pieceBytes) {
    headers.add(std::span(tar).subspan(at, std::min(pieceBytes, tar.size() - at)));
  }
  const Bytes kept = headers.takeKept();
  std::vector<uint64_t> offsets;
  for (size_t at = 0; at < kept.size();) {
    uint64_t numbers[2];
    CHECK(at + sizeof numbers <= kept.size());
    std::memcpy(numbers, &kept[at], sizeof numbers);
    at += sizeof numbers;
    CHECK(at + numbers[1] <= kept.size() && numbers[0] + numbers[1] <= tar.size());
    CHECK(std::equal(kept.begin() + static_cast<ptrdiff_t>(at), kept.begin() + static_cast<ptrdiff_t>(at + numbers[1]),
                     tar.begin() + static_cast<ptrdiff_t>(numbers[0])));
    offsets.push_back(numbers[0]);
    at += numbers[1];
  }
  return offsets;
}

void keepsHeaders() {
  const auto append = [](Bytes& tar, const Bytes& more) { tar.insert(tar.end(), more.begin(), more.end()); };
  Bytes tar = tarHeader('0', "1001 ");  // 513 bytes in two blocks
  append(tar, noise(1024, 1));
  append(tar, tarHeader('x', "14"));
  Bytes pax(512);
  std::copy_n("12 size=600\n", 12, pax.begin());
  append(tar, pax);
  append(tar, tarHeader('0', "7"));
  append(tar, noise(1024, 2));
  append(tar, tarHeader('5', "777"));
  append(tar, Bytes(2048));
  const std::vector<uint64_t> want{0, 1536, 2048, 2560, 4096, 4608, 5120};
  for (const size_t piece : {1U, 511U, 512U, 100'000U}) CHECK(keptOffsets(tar, piece) == want);
  // Sizes that no tar has end it.
  for (const char* size : {"777777777777", "9", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    Bytes odd = tarHeader('0', size);
    append(odd, Bytes(4096));
    CHECK(keptOffsets(odd, 512).size() == 1);
  }
  CHECK(keptOffsets(tarHeader('x', "77777777"), 512).size() == 1);
  for (uint64_t seed = 0; seed < 300; seed++) {
    Bytes damaged = tar;
    const Bytes random = noise(64, seed);
    for (size_t at = 0; at + 3 < random.size(); at += 3) {
      damaged[(random[at] * 256U + random[at + 1]) % damaged.size()] = random[at + 2];
    }
    keptOffsets(damaged, 1 + seed);
  }
}

}  // namespace

int main() {
  indexesGzip();
  indexesZstd();
  indexesRaw();
  leavesHoles();
  namesFaults();
  findsDamageEverywhere();
  survivesBadSpans();
  stopsWhenClosed();
  refusesOptions();
  keepsHeaders();
}
