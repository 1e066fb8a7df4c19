// A frame that must be the only one.
#include "core/zstd_frame.h"

#include "input.h"

using namespace lazuli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t SIZE_MAX_BYTES = 1U << 20;
  const std::vector<uint8_t> frame(data, data + size);
  const DecodedFrame decoded = decodeFrame(frame, SIZE_MAX_BYTES);
  REQUIRE(decoded.bytes.size() <= SIZE_MAX_BYTES);
  REQUIRE(decoded.status == FrameStatus::ok || decoded.bytes.empty());
  return 0;
}
