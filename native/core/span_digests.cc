#include "span_digests.h"

#include <algorithm>

namespace lazuli {

void BlobDigests::add(std::span<const uint8_t> bytes, std::span<const BlobCut> cuts) {
  hash_.update(bytes);
  size_t done = 0;
  for (const BlobCut& cut : cuts) {
    if (isInRange_) {
      rangeHash_.update(bytes.subspan(done, cut.end - done));
      ranges_.push_back(rangeHash_.finish());
      rangeHash_ = Sha256();
    }
    isInRange_ = true;
    if (cut.isShared) {
      const uint8_t shared = cut.end > 0 ? bytes[cut.end - 1] : lastByte_;
      rangeHash_.update({&shared, 1});
    }
    done = cut.end;
  }
  if (isInRange_) rangeHash_.update(bytes.subspan(done));
  if (!bytes.empty()) lastByte_ = bytes.back();
}

void BlobDigests::finish() {
  whole_ = hash_.finish();
  if (isInRange_) ranges_.push_back(rangeHash_.finish());
}

void SpanDigests::add(const DataBlock& block) {
  const std::span<const uint8_t> bytes = block.filled();
  size_t done = 0;
  for (const size_t cut : block.cuts) {
    hash_.update(bytes.subspan(done, cut - done));
    digests_.push_back(hash_.finish());
    hash_ = Sha256();
    done = cut;
  }
  hash_.update(bytes.subspan(done));
}

void LeafDigests::add(const DataBlock& block) {
  if (leafBytes_ == 0) return;
  const std::span<const uint8_t> bytes = block.filled();
  size_t done = 0;
  for (const size_t cut : block.cuts) {
    addBytes(bytes.subspan(done, cut - done));
    endLeaf();
    done = cut;
  }
  addBytes(bytes.subspan(done));
}

void LeafDigests::addBytes(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto part = static_cast<size_t>(std::min<uint64_t>(bytes.size(), leafBytes_ - length_));
    hash_.update(bytes.first(part));
    length_ += part;
    bytes = bytes.subspan(part);
    if (length_ == leafBytes_) endLeaf();
  }
}

void LeafDigests::endLeaf() {
  if (length_ == 0) return;
  const Digest digest = hash_.finish();
  digests_.insert(digests_.end(), digest.begin(), digest.end());
  hash_ = Sha256();
  length_ = 0;
}

}  // namespace lazuli
