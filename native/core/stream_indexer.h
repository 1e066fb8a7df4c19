#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "file_descriptor.h"
#include "sha256.h"
#include "span_digests.h"
#include "span_output.h"
#include "span_queue.h"
#include "span_scanner.h"
#include "tar_headers.h"

namespace lazuli {

/**
 * Takes in a whole stream in one pass, on four threads:
 *
 *     push() ─▶ decode ─┬─▶ digests of the blob and its ranges
 *                       ├─▶ digest of the data
 *                       └─▶ headers of the tar, digests of the spans and leaves, and the file
 *
 * Memory is bounded by the queues between them, and by spans and windows, which dataSizeMax and spanBytes bound.
 */
class StreamIndexer {
 public:
  /** Bytes of the blob in each of its two queues; decoding, or whoever pushes, waits for room. */
  static constexpr size_t BLOB_QUEUE_BYTES = 4U << 20;
  /** Blocks of data on their way; decoding waits for one that is free. */
  static constexpr size_t BLOCKS = 16;
  static constexpr size_t PUSH_BYTES_MAX = 64U << 20;
  static constexpr uint64_t SPANS_MAX = 1'000'000;
  static constexpr uint64_t WINDOWS_MAX = 16'384;
  static constexpr uint64_t LEAVES_MAX = 1'000'000;

  struct Options {
    SpanScanner::Codec codec;
    /** A regular file; emptied. Without one spans have no digests of data. */
    std::optional<FileDescriptor> data;
    uint64_t spanBytes;
    bool keepsWindows;
    uint64_t dataSizeMax;
    /** Parts of spans that have digests; 0: none have. */
    uint64_t leafBytes = 0;
  };

  /** Throws std::invalid_argument when there could be too many spans, std::system_error. */
  explicit StreamIndexer(Options options);
  /** Cancels and joins. */
  ~StreamIndexer();
  StreamIndexer(const StreamIndexer&) = delete;
  StreamIndexer& operator=(const StreamIndexer&) = delete;

  struct Result {
    Digest blobSha256;
    uint64_t blobSize;
    Digest dataSha256;
    uint64_t dataSize;
    std::vector<IndexedSpan> spans;
    /** WINDOW_BYTES a span, or empty. */
    std::vector<uint8_t> windows;
    uint64_t streamCount;
    /** As TarHeaders has them. */
    std::vector<uint8_t> tarHeaders;
    /** As LeafDigests has them. */
    std::vector<uint8_t> leafDigests;
  };

  /** False when a push must wait; always true once the work has failed, so that the next call tells why. */
  bool hasRoom() const { return input_.hasRoom(); }
  /** Copies the bytes. Throws what the work failed with. */
  void push(std::span<const uint8_t> bytes);
  /** Waits. Throws what the work failed with. */
  void waitForRoom();
  /** Waits for the end of the work; no push may follow. Throws what it failed with, also if called again. */
  Result finish();
  /** Ends the work; what waits for it throws ECANCELED. Waits for the threads. Idempotent, from any thread. */
  void close();

 private:
  using Piece = std::vector<uint8_t>;
  struct ScannedPiece {
    Piece bytes;
    std::vector<BlobCut> cuts;
  };

  template <typename Body>
  void start(const char* name, Body body);
  void decodePieces();
  void digestBlob();
  void digestData();
  void writeData();
  void keepHeaders();
  void writeBlock(const DataBlock& block) const;
  std::shared_ptr<DataBlock> takeBlock();
  void emitBlock(const DataBlockPointer& block);
  void fail(std::exception_ptr error);
  void throwFailure();
  void join();
  std::vector<IndexedSpan> indexedSpans() const;

  /** Closed when the threads have ended. */
  FileDescriptor data_;
  const bool hasFile_;
  SpanQueue<Piece> input_;
  SpanQueue<ScannedPiece> scanned_;
  SpanQueue<std::unique_ptr<DataBlock>> free_;
  SpanQueue<DataBlockPointer> toDigest_;
  SpanQueue<DataBlockPointer> toWrite_;
  SpanOutput output_;
  const std::unique_ptr<SpanScanner> scanner_;
  BlobDigests blobDigests_;
  SpanDigests spanDigests_;
  LeafDigests leafDigests_;
  TarHeaders tarHeaders_;
  Sha256 dataHash_;
  Digest dataDigest_{};
  std::mutex failureMutex_;
  std::exception_ptr failure_;
  std::mutex joinMutex_;
  std::vector<std::thread> threads_;
};

}  // namespace lazuli
