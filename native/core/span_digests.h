#pragma once

#include <cstdint>
#include <span>
#include <utility>
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

/** Digests of the parts of spans: each span is cut, from its start on, in parts of `leafBytes`, the last one shorter. */
class LeafDigests {
 public:
  /** 0: none are made. */
  explicit LeafDigests(uint64_t leafBytes) : leafBytes_(leafBytes) {}

  void add(const DataBlock& block);
  /** Ends the last one; nothing may follow. */
  void finish() { endLeaf(); }
  /** In the order of the data, one behind the other. */
  std::vector<uint8_t> take() { return std::move(digests_); }

 private:
  void addBytes(std::span<const uint8_t> bytes);
  void endLeaf();

  const uint64_t leafBytes_;
  /** Of the leaf that has begun. */
  uint64_t length_ = 0;
  Sha256 hash_;
  std::vector<uint8_t> digests_;
};

}  // namespace lazuli
