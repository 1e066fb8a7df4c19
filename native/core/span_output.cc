#include "span_output.h"

#include <algorithm>
#include <string>
#include <utility>

#include "stream_error.h"

namespace lazuli {

std::span<uint8_t> SpanOutput::room(size_t lengthMax) {
  if (block_ == nullptr) {
    block_ = options_.take();
    if (block_ == nullptr) throw Cancelled();
    block_->offset = position_;
    block_->length = 0;
    block_->cuts.clear();
  }
  // One byte more than allowed tells a stream that is too large from one that fits exactly.
  const uint64_t allowed = options_.dataSizeMax - position_ + 1;
  const size_t free = DataBlock::CAPACITY - block_->length;
  const size_t length = static_cast<size_t>(std::min<uint64_t>({allowed, free, lengthMax}));
  return std::span(block_->bytes).subspan(block_->length, length);
}

void SpanOutput::filled(size_t length) {
  block_->length += length;
  position_ += length;
  if (position_ > options_.dataSizeMax) {
    throw StreamError(StreamFault::tooLarge,
                      "want at most " + std::to_string(options_.dataSizeMax) + " decoded bytes, got more");
  }
  if (block_->length == DataBlock::CAPACITY) emit();
}

void SpanOutput::beginAtCheckpoint(uint64_t blobOffset, uint8_t bits) {
  checkpoints_.push_back({blobOffset, bits, position_});
  if (!spans_.empty() && spanLength() == 0) spans_.back().checkpoint = checkpoints_.size() - 1;
  else beginSpan();
  if (options_.keepsWindows) keepWindow();
}

void SpanOutput::beginInside() {
  beginSpan();
}

void SpanOutput::beginSpan() {
  spans_.push_back({position_, checkpoints_.size() - 1});
  // Where no block is begun, the cut stands at the start of the next one.
  if (spans_.size() > 1) room();
  if (spans_.size() > 1) block_->cuts.push_back(block_->length);
}

void SpanOutput::keepWindow() {
  const size_t recent = block_ == nullptr ? 0 : std::min(block_->length, WINDOW_BYTES);
  const size_t older = WINDOW_BYTES - recent;
  windows_.insert(windows_.end(), tail_.end() - static_cast<ptrdiff_t>(older), tail_.end());
  if (recent == 0) return;
  const auto end = block_->bytes.begin() + static_cast<ptrdiff_t>(block_->length);
  windows_.insert(windows_.end(), end - static_cast<ptrdiff_t>(recent), end);
}

void SpanOutput::emit() {
  const size_t recent = std::min(block_->length, WINDOW_BYTES);
  std::move(tail_.begin() + static_cast<ptrdiff_t>(recent), tail_.end(), tail_.begin());
  const auto end = block_->bytes.begin() + static_cast<ptrdiff_t>(block_->length);
  std::copy(end - static_cast<ptrdiff_t>(recent), end, tail_.end() - static_cast<ptrdiff_t>(recent));
  options_.emit(std::move(block_));
  block_ = nullptr;
}

void SpanOutput::finish() {
  // A cut inside a stream whose frame ends there begins nothing.
  if (spans_.size() > 1 && spanLength() == 0 && checkpoints_.back().dataOffset < position_) spans_.pop_back();
  if (block_ != nullptr) emit();
}

}  // namespace lazuli
