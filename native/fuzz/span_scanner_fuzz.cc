// A stranger's stream as a whole: raw, gzip or zstd, cut in spans, and what each span decodes to by itself.
#include <algorithm>
#include <memory>

#include "core/span_decoder.h"
#include "core/span_output.h"
#include "core/span_scanner.h"
#include "core/stream_decoder.h"
#include "core/stream_error.h"
#include "core/tar_headers.h"
#include "input.h"

using namespace lazuli;

namespace {

constexpr uint64_t DATA_BYTES = 1U << 20;
constexpr uint64_t spanSizes[] = {1, 512, 4096, 65'536};

struct Scanned {
  std::vector<uint8_t> data;
  std::vector<SpanStart> spans;
  std::vector<Checkpoint> checkpoints;
  std::vector<uint8_t> windows;
};

Scanned scan(fuzzing::Input& input, SpanScanner::Codec codec) {
  Scanned scanned;
  const uint64_t spanBytes = spanSizes[input.choice() % std::size(spanSizes)];
  const size_t pieceBytes = size_t{1} + input.choice();
  SpanOutput output({DATA_BYTES, true, [] { return std::make_shared<DataBlock>(); },
                     [&](const DataBlockPointer& block) {
                       REQUIRE(block->offset == scanned.data.size());
                       const auto bytes = block->filled();
                       scanned.data.insert(scanned.data.end(), bytes.begin(), bytes.end());
                     }});
  const auto scanner = SpanScanner::make(codec, spanBytes, output);
  input.pieces(pieceBytes, [&](const std::vector<uint8_t>& piece) {
    for (const BlobCut& cut : scanner->scan(piece)) REQUIRE(cut.end <= piece.size());
  });
  scanner->finish();
  output.finish();
  REQUIRE(output.position() == scanned.data.size() && scanned.data.size() <= DATA_BYTES);
  scanned.spans = output.spans();
  scanned.checkpoints = output.checkpoints();
  scanned.windows = output.takeWindows();
  return scanned;
}

/** Each span of a gzip stream that was taken is inflated from its checkpoint to the same bytes. */
void inflateSpans(const Scanned& scanned, std::span<const uint8_t> blob) {
  for (size_t index = 0; index < scanned.spans.size(); index++) {
    const uint64_t start = scanned.spans[index].dataOffset;
    const uint64_t end = index + 1 < scanned.spans.size() ? scanned.spans[index + 1].dataOffset : scanned.data.size();
    const Checkpoint& checkpoint = scanned.checkpoints[scanned.spans[index].checkpoint];
    REQUIRE(start <= end && checkpoint.rangeStart() <= blob.size());
    const auto window = std::span(scanned.windows).subspan(index * WINDOW_BYTES, WINDOW_BYTES);
    SpanDecoder decoder({blob.subspan(checkpoint.rangeStart()), checkpoint.bits, window});
    std::vector<uint8_t> out(end - start);
    REQUIRE(decoder.skip(start - checkpoint.dataOffset) == DecodeStatus::ok);
    REQUIRE(decoder.read(out) == DecodeStatus::ok);
    REQUIRE(std::equal(out.begin(), out.end(), scanned.data.begin() + static_cast<long>(start)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzzing::Input input(data, size);
  const auto codec = static_cast<SpanScanner::Codec>(input.choice() % 3);
  try {
    const Scanned scanned = scan(input, codec);
    TarHeaders headers;
    headers.add(scanned.data);
    if (codec == SpanScanner::Codec::gzip) inflateSpans(scanned, input.rest());
  } catch (const StreamError&) {
    // It is refused, with a reason.
  }
  return 0;
}
