#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "span_output.h"

namespace lazuli {

/** Where a range of the blob ends and the next begins, in the bytes that were scanned last. */
struct BlobCut {
  /** The end of the range before. */
  size_t end;
  /** The byte before the end is also the first of the next range. */
  bool isShared;
};

/** Decodes a stream that comes in pieces and says where decoding may begin anew. */
class SpanScanner {
 public:
  enum class Codec : uint8_t { raw = 0, gzip = 1, zstd = 2 };

  virtual ~SpanScanner() = default;
  SpanScanner(const SpanScanner&) = delete;
  SpanScanner& operator=(const SpanScanner&) = delete;

  /** Throws StreamError, std::bad_alloc, SpanOutput::Cancelled. */
  std::vector<BlobCut> scan(std::span<const uint8_t> bytes);
  /** Nothing follows. Throws StreamError when something should. */
  virtual void finish() = 0;
  uint64_t blobSize() const { return scanned_; }
  uint64_t streamCount() const { return streamCount_; }

  static std::unique_ptr<SpanScanner> make(Codec codec, uint64_t spanBytes, SpanOutput& output);

 protected:
  SpanScanner(uint64_t spanBytes, SpanOutput& output) : spanBytes_(spanBytes), output_(output) {}
  virtual void decode(std::span<const uint8_t> bytes) = 0;
  /** A checkpoint behind `consumed` bytes of those that are decoded now. */
  void beginAtCheckpoint(size_t consumed, uint8_t bits);
  /** For what comes in the order of the blob and wants no byte more than a span. */
  size_t leftInSpan() const;

  const uint64_t spanBytes_;
  SpanOutput& output_;
  uint64_t streamCount_ = 0;

 private:
  std::vector<BlobCut> cuts_;
  /** Bytes of the blob before those that are decoded now. */
  uint64_t scanned_ = 0;
};

}  // namespace lazuli
