#include "core/zstd_frame.h"

#include <zstd.h>

#include "check.h"
#include "sample_table.h"

using namespace lazuli;
using namespace lazuli::testing;

namespace {

Bytes sampleContent() {
  Bytes content = noise(300'000, 3);
  content.resize(900'000, 9);
  return content;
}

void comesBack() {
  for (const Bytes& content : {Bytes{}, Bytes{1}, sampleContent()}) {
    const Bytes frame = encodeFrame(content, 3);
    CHECK(frame == encodeFrame(content, 3));
    const DecodedFrame decoded = decodeFrame(frame, content.size());
    CHECK(decoded.status == FrameStatus::ok);
    CHECK(decoded.bytes == content);
  }
}

void holdsItsLimit() {
  const Bytes frame = encodeFrame(sampleContent(), 3);
  CHECK(decodeFrame(frame, 899'999).status == FrameStatus::tooLarge);
  CHECK(decodeFrame(frame, 0).status == FrameStatus::tooLarge);
  const Bytes bomb = encodeFrame(Bytes(200'000'000), 3);
  CHECK(bomb.size() < 100'000);
  CHECK(decodeFrame(bomb, 1'000'000).status == FrameStatus::tooLarge);
}

/** The header claims 2^40 bytes and the frame holds none: no more is allocated than the first buffer. */
void believesNoClaim() {
  const Bytes frame = {0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x38, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
  CHECK(decodeFrame(frame, 1ULL << 50).status == FrameStatus::corrupt);
}

void wantsOneWholeFrame() {
  const Bytes frame = encodeFrame(Bytes(1000, 5), 3);
  for (size_t length = 0; length < frame.size(); length++) {
    CHECK(decodeFrame({frame.data(), length}, 1000).status == FrameStatus::truncated);
  }
  Bytes twice = frame;
  twice.insert(twice.end(), frame.begin(), frame.end());
  CHECK(decodeFrame(twice, 5000).status == FrameStatus::corrupt);
  const Bytes skippable = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
  CHECK(decodeFrame(skippable, 5000).status == FrameStatus::corrupt);
  Bytes behind = frame;
  behind.insert(behind.end(), skippable.begin(), skippable.end());
  CHECK(decodeFrame(behind, 5000).status == FrameStatus::corrupt);
}

void survivesNoise() {
  const Bytes content = sampleContent();
  const Bytes frame = encodeFrame(content, 3);
  for (uint64_t seed = 0; seed < 300; seed++) {
    Bytes changed = frame;
    const Bytes random = noise(24, seed + 10);
    for (size_t index = 0; index < 8; index++) {
      const size_t at = (random[index] << 8 | random[index + 8]) % (index < 4 ? 64 : changed.size());
      changed[at] ^= random[index + 16];
    }
    const DecodedFrame decoded = decodeFrame(changed, 2'000'000);
    CHECK(decoded.status != FrameStatus::ok || decoded.bytes == content);
  }
}

}  // namespace

int main() {
  comesBack();
  holdsItsLimit();
  believesNoClaim();
  wantsOneWholeFrame();
  survivesNoise();
}
