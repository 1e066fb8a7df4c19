#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sha256.h"
#include "span_output.h"
#include "span_scanner.h"

namespace lazuli {

/** Digests of a blob and of the ranges that it is cut in. */
class BlobDigests {
 public:
  void add(std::span<const uint8_t> bytes, std::span<const BlobCut> cuts);
  /** Ends both; nothing may follow. */
  void finish();

  const Digest& whole() const { return whole_; }
  /** One for each checkpoint. */
  const std::vector<Digest>& ranges() const { return ranges_; }

 private:
  Sha256 hash_;
  Sha256 rangeHash_;
  bool isInRange_ = false;
  uint8_t lastByte_ = 0;
  Digest whole_{};
  std::vector<Digest> ranges_;
};

/** Digests of the spans of the data. */
class SpanDigests {
 public:
  void add(const DataBlock& block);
  /** Ends the last one; nothing may follow. */
  void finish() { digests_.push_back(hash_.finish()); }

  const std::vector<Digest>& digests() const { return digests_; }

 private:
  Sha256 hash_;
  std::vector<Digest> digests_;
};

}  // namespace lazuli
