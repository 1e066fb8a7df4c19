#pragma once

#include <cstdint>
#include <vector>

#include "sha256.h"

namespace lazuli {

/** Where decoding may begin, and where the range of the blob begins that is needed for it. */
struct Checkpoint {
  /** The first whole byte in the blob. */
  uint64_t blobOffset;
  /** High bits of the byte before it that belong to it too. */
  uint8_t bits;
  uint64_t dataOffset;

  uint64_t rangeStart() const { return blobOffset - (bits > 0 ? 1 : 0); }
};

/** What a stream decodes to, cut in spans; the last may be empty. */
struct SpanStart {
  uint64_t dataOffset;
  /** Which checkpoint it is decoded from. */
  size_t checkpoint;
};

/** One span with its digests, as readSpans() of src/units/indexed-spans.ts reads it. */
struct IndexedSpan {
  uint64_t dataOffset;
  uint64_t dataLength;
  uint64_t blobOffset;
  uint64_t blobLength;
  uint64_t innerOffset;
  Digest dataSha256;
  Digest blobSha256;
};
static_assert(sizeof(IndexedSpan) == 104, "the records cross to JavaScript as they are");

}  // namespace lazuli
