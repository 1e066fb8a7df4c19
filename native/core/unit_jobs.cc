#include "unit_jobs.h"

#include <zlib.h>

#include <algorithm>
#include <stdexcept>

#include "limits.h"
#include "span_decoder.h"

namespace lazuli {
namespace {

/**
 * Cuts at the borders of streams, into parts of at least INGEST_JOB_BYTES compressed bytes where there are so many. Spans
 * are large, and a reader waits for the last of them: each is a part of its own.
 */
std::vector<UnitRange> cutAtStreams(const UnitTable& units, UnitRange whole) {
  std::vector<UnitRange> parts;
  size_t start = whole.first;
  while (start < whole.end) {
    uint64_t bytes = 0;
    size_t end = start;
    while (end < whole.end && bytes < INGEST_JOB_BYTES) {
      bytes += units.blobLength(end);
      end = std::min(units.streamEnd(end), whole.end);
      if (units.windowCount() > 0) break;
    }
    parts.push_back({start, end});
    start = end;
  }
  return parts;
}

std::vector<UnitRange> cutByLength(const UnitTable& units, UnitRange whole) {
  std::vector<UnitRange> parts;
  size_t start = whole.first;
  while (start < whole.end) {
    uint64_t bytes = 0;
    size_t end = start;
    while (end < whole.end && bytes < VERIFY_JOB_BYTES) bytes += units.dataLength(end++);
    parts.push_back({start, end});
    start = end;
  }
  return parts;
}

Outcome outcomeOf(DecodeStatus status) {
  return status == DecodeStatus::truncated ? Outcome::truncated : Outcome::corrupt;
}

}  // namespace

UnitJobs::TaskPointer UnitJobs::makeTask(const Ingest& options) const {
  if (options.units.empty() || options.units.end > options.layer->units().count()) {
    throw std::out_of_range("Cannot work on units: the range must lie inside the layer");
  }
  auto task = std::make_shared<Task>();
  task->options = options;
  // What a job that is cancelled, or fails for want of memory, leaves behind.
  task->outcomes.assign(options.units.end - options.units.first, static_cast<uint8_t>(Outcome::ioError));
  return task;
}

void UnitJobs::post(const TaskPointer& task, const std::vector<UnitRange>& parts, Step step) {
  task->jobsLeft = parts.size();
  for (const UnitRange part : parts) {
    workers_.post(Priority::ordinary, [this, task, part, step](bool isCancelled) {
      try {
        if (!isCancelled) (this->*step)(*task, part);
      } catch (...) {
        // The outcomes say ioError.
      }
      if (task->jobsLeft.fetch_sub(1) == 1) events_.completed({task->options.task, std::move(task->outcomes)});
    });
  }
}

void UnitJobs::ingest(const Ingest& options) {
  const TaskPointer task = makeTask(options);
  const UnitTable& units = options.layer->units();
  if (units.blobOffset(options.units.first) < options.blobOffset) {
    throw std::out_of_range("Cannot ingest: the bytes must begin where the first stream does, or before");
  }
  post(task, cutAtStreams(units, options.units), &UnitJobs::ingestStreams);
}

void UnitJobs::ingestStreams(Task& task, UnitRange units) {
  for (size_t unit = units.first; unit < units.end;) {
    const size_t end = std::min(task.layer().units().streamEnd(unit), units.end);
    ingestStream(task, {unit, end});
    unit = end;
  }
}

void UnitJobs::ingestStream(Task& task, UnitRange units) {
  std::unique_ptr<StreamDecoder> decoder;
  for (size_t unit = units.first; unit < units.end; unit++) {
    const Outcome outcome = ingestUnit(task, unit, decoder);
    task.set(unit, outcome);
    if (outcome == Outcome::stored) {
      Stats::add(stats_.unitsStored);
      reads_.unitsArrived(task.layer(), unit, unit);
    } else if (outcome == Outcome::corrupt) {
      Stats::add(stats_.unitsCorrupt);
    }
  }
}

Outcome UnitJobs::ingestUnit(Task& task, size_t index, std::unique_ptr<StreamDecoder>& decoder) {
  Layer& layer = task.layer();
  const Layer::Claim claim(layer, index);
  if (layer.state(index) != UnitState::missing) return Outcome::alreadyPresent;
  const Unit unit = layer.units().unit(index);
  if (decoder == nullptr) {
    const std::span<const uint8_t> bytes = task.options.bytes;
    const uint64_t from = std::min<uint64_t>(unit.blobOffset - task.options.blobOffset, bytes.size());
    const uint64_t length = std::min<uint64_t>(unit.blobLength, bytes.size() - from);
    const std::span<const uint8_t> range = bytes.subspan(from, length);
    const Outcome checked = checkRange(unit, range);
    if (checked != Outcome::stored) return checked;
    decoder = needsWindow(unit.codec) ? makeSpanDecoder(layer, index, range) : StreamDecoder::make(unit.codec, range);
    if (decoder == nullptr) return Outcome::ioError;
  }
  const uint64_t before = unit.codec == Codec::deflateSpan ? 0 : unit.innerOffset - decoder->position();
  DecodeStatus status = decoder->skip(before);
  if (status != DecodeStatus::ok) return outcomeOf(status);
  // The table has bounded the length; pages that the stream does not fill are never touched.
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(unit.dataLength);
  const std::span<uint8_t> data(buffer.get(), unit.dataLength);
  status = decoder->read(data);
  return status == DecodeStatus::ok ? layer.store(index, data) : outcomeOf(status);
}

Outcome UnitJobs::checkRange(const Unit& unit, std::span<const uint8_t> bytes) const {
  if (unit.digestOf == DigestOf::data) return Outcome::stored;
  if (bytes.size() < unit.blobLength) return Outcome::truncated;
  return sha256(bytes) == unit.sha256 ? Outcome::stored : Outcome::corrupt;
}

std::unique_ptr<StreamDecoder> UnitJobs::makeSpanDecoder(const Layer& layer, size_t index,
                                                         std::span<const uint8_t> bytes) const {
  const Unit unit = layer.units().unit(index);
  uint8_t window[WINDOW_BYTES];
  if (layer.windows().read(layer.units().streamStart(index), window) != 0) return nullptr;
  // Another window would make other bytes of the same blob.
  if (crc32(0, window, sizeof window) != unit.windowCrc) return nullptr;
  const uint64_t bits = unit.codec == Codec::deflateSpan ? unit.innerOffset : unit.bits;
  return std::make_unique<SpanDecoder>(SpanDecoder::Span{bytes, static_cast<unsigned>(bits), window});
}

void UnitJobs::verify(uint64_t id, const std::shared_ptr<Layer>& layer, UnitRange units) {
  const TaskPointer task = makeTask({id, layer, units, {}, 0});
  post(task, cutByLength(layer->units(), units), &UnitJobs::verifyUnits);
}

void UnitJobs::verifyUnits(Task& task, UnitRange units) {
  Layer& layer = task.layer();
  for (size_t unit = units.first; unit < units.end; unit++) {
    const Layer::Claim claim(layer, unit);
    const Layer::Verdict verdict = layer.verify(unit);
    task.set(unit, verdict.outcome);
    if (verdict.isNewlyDamaged) reads_.unitDamaged(layer, unit);
  }
}

void UnitJobs::punch(uint64_t id, const std::shared_ptr<Layer>& layer, UnitRange units) {
  post(makeTask({id, layer, units, {}, 0}), {units}, &UnitJobs::punchUnits);
}

void UnitJobs::punchUnits(Task& task, UnitRange units) {
  for (size_t unit = units.first; unit < units.end;) {
    Outcome outcome;
    const size_t next = task.layer().punch(unit, units.end, outcome);
    for (; unit < next; unit++) task.set(unit, outcome);
  }
}

}  // namespace lazuli
