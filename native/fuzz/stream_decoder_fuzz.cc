// One range of a blob, decoded as a unit is: from its first byte, or as a span from a bit with a window.
#include "core/stream_decoder.h"

#include <memory>

#include "core/span_decoder.h"
#include "core/span_windows.h"
#include "input.h"

using namespace lazuli;

namespace {

constexpr Codec codecs[] = {Codec::raw, Codec::gzip, Codec::zstd};
constexpr uint64_t SKIP_BYTES = 1U << 20;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzzing::Input input(data, size);
  const uint8_t kind = input.choice();
  const uint64_t skipped = input.choice() * (SKIP_BYTES / 256);
  const std::vector<uint8_t> bytes(input.rest().begin(), input.rest().end());
  std::vector<uint8_t> window(WINDOW_BYTES, 'w');
  std::unique_ptr<StreamDecoder> decoder;
  if (kind % 4 == 3) decoder = std::make_unique<SpanDecoder>(SpanDecoder::Span{bytes, kind / 4U % 8, window});
  else decoder = StreamDecoder::make(codecs[kind % 4], bytes);
  DecodeStatus status = decoder->skip(skipped);
  std::vector<uint8_t> out(70'000);
  for (size_t round = 0; status == DecodeStatus::ok && round < 16; round++) status = decoder->read(out);
  // What it said once it says for ever.
  if (status != DecodeStatus::ok) REQUIRE(decoder->read(out) == status);
  return 0;
}
