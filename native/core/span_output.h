#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "span_index.h"
#include "span_queue.h"
#include "span_windows.h"

namespace lazuli {

/** A piece of what comes out of a stream. */
struct DataBlock {
  static constexpr size_t CAPACITY = 256U << 10;

  uint64_t offset = 0;
  size_t length = 0;
  /** Where spans begin in it. */
  std::vector<size_t> cuts;
  std::array<uint8_t, CAPACITY> bytes;

  std::span<const uint8_t> filled() const { return std::span(bytes).first(length); }
};
using DataBlockPointer = std::shared_ptr<const DataBlock>;

/** Takes what a scanner decodes: fills blocks and hands them on, and remembers where spans begin and what stood before. */
class SpanOutput {
 public:
  struct Options {
    uint64_t dataSizeMax;
    bool keepsWindows;
    /** Gives a block that nobody uses any more; null when the work was cancelled. */
    std::function<std::shared_ptr<DataBlock>()> take;
    std::function<void(DataBlockPointer)> emit;
  };

  explicit SpanOutput(Options options) : options_(std::move(options)) {}

  /** Where to put the next bytes, at most `lengthMax`; never empty unless that is 0. Throws Cancelled. */
  std::span<uint8_t> room(size_t lengthMax = SIZE_MAX);
  /** So many bytes are there. Throws StreamError when they are too many. */
  void filled(size_t length);
  /** Bytes that came out up to now. */
  uint64_t position() const { return position_; }
  /** Bytes since the last span began. */
  uint64_t spanLength() const { return spans_.empty() ? position_ : position_ - spans_.back().dataOffset; }
  bool hasSpans() const { return !spans_.empty(); }
  const Checkpoint& lastCheckpoint() const { return checkpoints_.back(); }

  /** A span begins here, which is decoded from a checkpoint here. One that is still empty becomes this. */
  void beginAtCheckpoint(uint64_t blobOffset, uint8_t bits);
  /** A span begins here, which is decoded from the last checkpoint. */
  void beginInside();
  /** Hands on what is left. */
  void finish();

  const std::vector<Checkpoint>& checkpoints() const { return checkpoints_; }
  const std::vector<SpanStart>& spans() const { return spans_; }
  std::vector<uint8_t> takeWindows() { return std::move(windows_); }

  /** The work was cancelled: what room() throws. */
  struct Cancelled {};

 private:
  void beginSpan();
  void keepWindow();
  void emit();

  const Options options_;
  std::shared_ptr<DataBlock> block_;
  /** The last bytes before the block. */
  std::array<uint8_t, WINDOW_BYTES> tail_{};
  uint64_t position_ = 0;
  std::vector<Checkpoint> checkpoints_;
  std::vector<SpanStart> spans_;
  std::vector<uint8_t> windows_;
};

}  // namespace lazuli
