#include "stream_indexer.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "positioned_io.h"

namespace lazuli {
namespace {

/** A push is cut in such pieces, so that all threads have work of it. */
constexpr size_t PIECE_BYTES = 256U << 10;
/** What becomes a hole where it is zeros; blocks of data are multiples of it. */
constexpr size_t HOLE_BYTES = 4096;

FileDescriptor emptied(FileDescriptor file) {
  struct stat status;
  if (fstat(file.get(), &status) != 0) throw std::system_error(errno, std::generic_category(), "fstat");
  if (!S_ISREG(status.st_mode)) throw std::invalid_argument("Cannot index stream: the data must go to a regular file");
  if (ftruncate(file.get(), 0) != 0) throw std::system_error(errno, std::generic_category(), "ftruncate");
  return file;
}

uint64_t checkedSpanBytes(const StreamIndexer::Options& options) {
  const bool hasWindows = options.keepsWindows && options.codec == SpanScanner::Codec::gzip;
  const uint64_t spansMax = hasWindows ? StreamIndexer::WINDOWS_MAX : StreamIndexer::SPANS_MAX;
  if (options.spanBytes == 0 || options.dataSizeMax / options.spanBytes > spansMax) {
    throw std::invalid_argument("Cannot index stream: want at most " + std::to_string(spansMax) +
                                " spans, got a size of them that makes more");
  }
  return options.spanBytes;
}

/** So many leaves as there could be spans without windows. */
uint64_t checkedLeafBytes(const StreamIndexer::Options& options) {
  if (options.leafBytes == 0 || options.dataSizeMax / options.leafBytes <= StreamIndexer::LEAVES_MAX) return options.leafBytes;
  throw std::invalid_argument("Cannot index stream: want at most " + std::to_string(StreamIndexer::LEAVES_MAX) +
                              " leaves, got a size of them that makes more");
}

bool isZero(const uint8_t* bytes, size_t length) {
  return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, length - 1) == 0;
}

}  // namespace

StreamIndexer::StreamIndexer(Options options)
    : data_(options.data ? emptied(std::move(*options.data)) : FileDescriptor()),
      hasFile_(options.data.has_value()),
      input_(BLOB_QUEUE_BYTES),
      scanned_(BLOB_QUEUE_BYTES),
      free_(BLOCKS),
      toDigest_(BLOCKS),
      toWrite_(BLOCKS),
      output_({options.dataSizeMax, options.keepsWindows && options.codec == SpanScanner::Codec::gzip,
               [this] { return takeBlock(); }, [this](const DataBlockPointer& block) { emitBlock(block); }}),
      scanner_(SpanScanner::make(options.codec, checkedSpanBytes(options), output_)),
      leafDigests_(checkedLeafBytes(options)) {
  for (size_t index = 0; index < BLOCKS; index++) free_.force(std::make_unique_for_overwrite<DataBlock>(), 1);
  try {
    start("lazuli-decode", [this] { decodePieces(); });
    start("lazuli-blobsum", [this] { digestBlob(); });
    start("lazuli-datasum", [this] { digestData(); });
    if (hasFile_) start("lazuli-write", [this] { writeData(); });
    else start("lazuli-headers", [this] { keepHeaders(); });
  } catch (...) {
    close();
    throw;
  }
}

StreamIndexer::~StreamIndexer() {
  close();
}

template <typename Body>
void StreamIndexer::start(const char* name, Body body) {
  threads_.emplace_back([this, name, body] {
    pthread_setname_np(pthread_self(), name);
    try {
      body();
    } catch (const SpanOutput::Cancelled&) {
      // Whoever cancelled has said why.
    } catch (...) {
      fail(std::current_exception());
    }
  });
}

void StreamIndexer::push(std::span<const uint8_t> bytes) {
  throwFailure();
  while (!bytes.empty()) {
    const std::span<const uint8_t> piece = bytes.first(std::min(bytes.size(), PIECE_BYTES));
    input_.force(Piece(piece.begin(), piece.end()), piece.size());
    bytes = bytes.subspan(piece.size());
  }
}

void StreamIndexer::waitForRoom() {
  input_.waitForRoom();
  throwFailure();
}

void StreamIndexer::decodePieces() {
  while (std::optional<Piece> piece = input_.pop()) {
    std::vector<BlobCut> cuts = scanner_->scan(*piece);
    const size_t size = piece->size();
    if (!scanned_.push({std::move(*piece), std::move(cuts)}, size)) return;
  }
  {
    const std::lock_guard lock(failureMutex_);
    if (failure_ != nullptr) return;
  }
  scanner_->finish();
  output_.finish();
  scanned_.close();
  toDigest_.close();
  toWrite_.close();
}

void StreamIndexer::digestBlob() {
  while (const std::optional<ScannedPiece> piece = scanned_.pop()) blobDigests_.add(piece->bytes, piece->cuts);
  blobDigests_.finish();
}

void StreamIndexer::digestData() {
  while (const std::optional<DataBlockPointer> block = toDigest_.pop()) dataHash_.update((*block)->filled());
  dataDigest_ = dataHash_.finish();
}

void StreamIndexer::writeData() {
  uint64_t end = 0;
  while (const std::optional<DataBlockPointer> block = toWrite_.pop()) {
    writeBlock(**block);
    spanDigests_.add(**block);
    leafDigests_.add(**block);
    tarHeaders_.add((*block)->filled());
    end = (*block)->offset + (*block)->length;
  }
  spanDigests_.finish();
  leafDigests_.finish();
  if (ftruncate(data_.get(), static_cast<off_t>(end)) != 0) {
    throw std::system_error(errno, std::generic_category(), "ftruncate");
  }
}

void StreamIndexer::keepHeaders() {
  while (const std::optional<DataBlockPointer> block = toWrite_.pop()) {
    leafDigests_.add(**block);
    tarHeaders_.add((*block)->filled());
  }
  leafDigests_.finish();
}

void StreamIndexer::writeBlock(const DataBlock& block) const {
  size_t from = 0;
  const auto writeUpTo = [&](size_t to) {
    if (to == from) return;
    const int error = writeAt(data_.get(), block.offset + from, block.filled().subspan(from, to - from));
    if (error != 0) throw std::system_error(-error, std::generic_category(), "pwrite");
  };
  for (size_t at = 0; at < block.length; at += HOLE_BYTES) {
    const size_t length = std::min(HOLE_BYTES, block.length - at);
    if (!isZero(&block.bytes[at], length)) continue;
    writeUpTo(at);
    from = at + length;
  }
  writeUpTo(block.length);
}

std::shared_ptr<DataBlock> StreamIndexer::takeBlock() {
  std::optional<std::unique_ptr<DataBlock>> block = free_.pop();
  if (!block) return nullptr;
  return {block->release(), [this](DataBlock* used) { free_.force(std::unique_ptr<DataBlock>(used), 1); }};
}

void StreamIndexer::emitBlock(const DataBlockPointer& block) {
  if (!toDigest_.push(block, 1) || !toWrite_.push(block, 1)) throw SpanOutput::Cancelled();
}

void StreamIndexer::fail(std::exception_ptr error) {
  {
    const std::lock_guard lock(failureMutex_);
    if (failure_ == nullptr) failure_ = std::move(error);
  }
  input_.cancel();
  scanned_.cancel();
  toDigest_.cancel();
  toWrite_.cancel();
  free_.cancel();
}

void StreamIndexer::throwFailure() {
  const std::lock_guard lock(failureMutex_);
  if (failure_ != nullptr) std::rethrow_exception(failure_);
}

void StreamIndexer::join() {
  const std::lock_guard lock(joinMutex_);
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  // Whoever owns the indexer may keep it for long: a file that was deleted would keep its room on the disk.
  data_.reset();
}

void StreamIndexer::close() {
  fail(std::make_exception_ptr(std::system_error(ECANCELED, std::generic_category(), "StreamIndexer")));
  join();
}

StreamIndexer::Result StreamIndexer::finish() {
  input_.close();
  join();
  throwFailure();
  Result result{blobDigests_.whole(), scanner_->blobSize(), dataDigest_,          output_.position(), indexedSpans(),
                output_.takeWindows(), scanner_->streamCount(), tarHeaders_.takeKept(),
                leafDigests_.take()};
  return result;
}

std::vector<IndexedSpan> StreamIndexer::indexedSpans() const {
  const std::vector<SpanStart>& starts = output_.spans();
  const std::vector<Checkpoint>& checkpoints = output_.checkpoints();
  std::vector<IndexedSpan> spans;
  spans.reserve(starts.size());
  for (size_t index = 0; index < starts.size(); index++) {
    const SpanStart& start = starts[index];
    const Checkpoint& checkpoint = checkpoints[start.checkpoint];
    const bool isLast = index + 1 == starts.size();
    const uint64_t dataEnd = isLast ? output_.position() : starts[index + 1].dataOffset;
    const bool isLastRange = start.checkpoint + 1 == checkpoints.size();
    const uint64_t blobEnd = isLastRange ? scanner_->blobSize() : checkpoints[start.checkpoint + 1].blobOffset;
    const uint64_t before = start.dataOffset - checkpoint.dataOffset;
    spans.push_back({start.dataOffset, dataEnd - start.dataOffset, checkpoint.rangeStart(), blobEnd - checkpoint.rangeStart(),
                     before > 0 ? before : checkpoint.bits, hasFile_ ? spanDigests_.digests()[index] : Digest{},
                     blobDigests_.ranges()[start.checkpoint]});
  }
  return spans;
}

}  // namespace lazuli
