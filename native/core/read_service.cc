#include "read_service.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "limits.h"

namespace lazuli {
namespace {

/** Room for one answer, and for one piece of it with the blocks around it. One a thread. */
struct Scratch {
  std::unique_ptr<uint8_t[]> answer = std::make_unique_for_overwrite<uint8_t[]>(READ_MAX);
  std::unique_ptr<uint8_t[]> window = std::make_unique_for_overwrite<uint8_t[]>(READ_MAX + 2 * CHECK_BLOCK);

  std::span<uint8_t> windowSpan() const { return {window.get(), READ_MAX + 2 * CHECK_BLOCK}; }
};

Scratch& scratch() {
  thread_local Scratch scratch;
  return scratch;
}

/** Units of the segments that are not here, sorted. */
std::vector<uint32_t> missingUnits(const Layer& layer, std::span<const Segment> segments) {
  std::vector<uint32_t> missing;
  for (const Segment& segment : segments) {
    if (segment.kind != Segment::Kind::data) continue;
    const UnitRange range = layer.units().overlapping(segment.offset, segment.length);
    for (size_t unit = range.first; unit < range.end; unit++) {
      if (layer.state(unit) == UnitState::missing) missing.push_back(static_cast<uint32_t>(unit));
    }
  }
  std::sort(missing.begin(), missing.end());
  return missing;
}

/** Out of line: reads that nobody records only look at a flag. */
[[gnu::noinline]] void noteTouches(Layer& layer, std::span<const Segment> segments, uint64_t at,
                                   std::span<const uint32_t> missed) {
  for (const Segment& segment : segments) {
    if (segment.kind != Segment::Kind::data) continue;
    layer.touches().note(layer.units().overlapping(segment.offset, segment.length), at, missed);
  }
}

void noteTouches(const WaitingRead& read) {
  if (read.layer->touches().isOn()) noteTouches(*read.layer, read.segments, read.since, read.missed);
}

}  // namespace

ReadService::ReadService(const Parts& parts)
    : workers_(parts.workers),
      events_(parts.events),
      stats_(parts.stats),
      waiting_(parts.waitingReadsMax, parts.events, parts.stats),
      interrupts_({
          [this](const InterruptWatch::Watched& read) { return waiting_.threadOf(*read.session, read.unique) >= 0; },
          [this](const InterruptWatch::Watched& read) { giveUp(read); },
      }) {}

void ReadService::serve(const Origin& origin, const std::shared_ptr<Layer>& layer, std::span<const Segment> segments) {
  Need need;
  if (attempt(*origin.session, origin.unique, *layer, segments, need, nullptr)) return;
  const auto read = std::make_shared<WaitingRead>();
  read->session = origin.session;
  read->unique = origin.unique;
  read->thread = origin.thread;
  read->layer = layer;
  read->segments.assign(segments.begin(), segments.end());
  read->since = monotonicNanoseconds();
  if (need.isMissing) read->missed = missingUnits(*layer, segments);
  if (!waiting_.add(read)) {
    Stats::add(stats_.failedReads);
    origin.session->replyError(origin.unique, EIO);
    refused(*layer, RefusalReason::tooManyWaiting);
    return;
  }
  resumeOrFail(read);
}

/** Tries the read until it is answered, parked, or with a worker. */
void ReadService::resume(const WaitingReadPointer& read) {
  for (;;) {
    Need need;
    if (attempt(*read->session, read->unique, *read->layer, read->segments, need, read.get())) {
      waiting_.finish(*read);
      return;
    }
    if (need.isUnverified) {
      workers_.post(Priority::urgent, [this, read](bool isCancelled) {
        if (isCancelled) answerError(read, EIO);
        else verifyThenResume(read);
      });
      return;
    }
    switch (waiting_.park(read, need)) {
      case WaitingReads::Parked::parked: return;
      case WaitingReads::Parked::unitArrived: continue;
      case WaitingReads::Parked::interrupted: return answerError(read, EINTR);
      case WaitingReads::Parked::failed: return answerError(read, read->failure);
      case WaitingReads::Parked::removed: return answerError(read, EIO);
    }
  }
}

void ReadService::resumeOrFail(const WaitingReadPointer& read) {
  try {
    resume(read);
  } catch (...) {
    // Out of memory before the read was answered or parked: nothing after that allocates.
    failHere(read);
  }
}

void ReadService::verifyThenResume(const WaitingReadPointer& read) {
  Layer& layer = *read->layer;
  try {
    for (const Segment& segment : read->segments) {
      if (segment.kind != Segment::Kind::data) continue;
      const UnitRange range = layer.units().overlapping(segment.offset, segment.length);
      for (size_t unit = range.first; unit < range.end; unit++) {
        if (layer.state(unit) != UnitState::unverified) continue;
        const Layer::Claim claim(layer, unit);
        // Another worker may have checked it while this one waited for the claim.
        if (layer.state(unit) != UnitState::unverified) continue;
        if (layer.verify(unit).isNewlyDamaged) unitDamaged(layer, unit);
      }
    }
  } catch (...) {
    return failHere(read);
  }
  resumeOrFail(read);
}

bool ReadService::attempt(const FuseSession& session, uint64_t unique, Layer& layer, std::span<const Segment> segments,
                          Need& need, const WaitingRead* waited) {
  for (;;) {
    need = Need{};
    need.damageEpoch = layer.damageEpoch();
    for (const Segment& segment : segments) {
      if (segment.kind == Segment::Kind::data) need.merge(layer.need(segment.offset, segment.length));
    }
    if (need.isUnverified || need.isMissing) return false;
    std::span<const uint8_t> bytes;
    if (!assemble(layer, segments, bytes)) continue;
    // Before the answer: whoever has it may ask for the touches at once.
    if (waited != nullptr) noteTouches(*waited);
    else if (layer.touches().isOn()) noteTouches(layer, segments, monotonicNanoseconds(), {});
    session.reply(unique, bytes);
    Stats::add(stats_.bytesServed, bytes.size());
    return true;
  }
}

/** False when a unit was damaged, which is missing now. */
bool ReadService::assemble(Layer& layer, std::span<const Segment> segments, std::span<const uint8_t>& bytes) {
  Scratch& space = scratch();
  const bool isSingle = segments.size() == 1;
  size_t used = 0;
  for (const Segment& segment : segments) {
    uint8_t* to = space.answer.get() + used;
    used += segment.length;
    if (segment.kind == Segment::Kind::zeros) {
      std::memset(to, 0, segment.length);
    } else {
      const Layer::ReadResult result = layer.read(segment.offset, segment.length, space.windowSpan());
      for (const size_t unit : result.damaged) unitDamaged(layer, unit);
      if (!result.isIntact) return false;
      bytes = result.bytes;
      if (isSingle) return true;
      std::memcpy(to, result.bytes.data(), segment.length);
    }
  }
  bytes = {space.answer.get(), used};
  return true;
}

bool ReadService::interrupt(const std::shared_ptr<FuseSession>& session, uint64_t unique) {
  const pid_t thread = waiting_.threadOf(*session, unique);
  if (thread < 0) return false;
  interrupts_.add({session, unique, thread});
  return true;
}

void ReadService::giveUp(const InterruptWatch::Watched& read) {
  if (waiting_.interrupt(*read.session, read.unique) != WaitingReads::Interrupted::taken) return;
  read.session->replyError(read.unique, EINTR);
}

void ReadService::unitsArrived(const Layer& layer, uint64_t firstUnit, uint64_t lastUnit) {
  for (const WaitingReadPointer& read : waiting_.take(layer, firstUnit, lastUnit)) resumeOrFail(read);
}

void ReadService::unitDamaged(const Layer& layer, uint64_t unit) {
  Stats::add(stats_.unitsDamaged);
  events_.damaged({layer.number(), unit});
}

void ReadService::fail(const std::unordered_set<uint64_t>& misses, int error) {
  answerTaken(waiting_.takeNamed(misses, error), error);
}

void ReadService::failLayer(const Layer& layer) {
  answerTaken(waiting_.takeAllOfLayer(layer), EIO);
}

void ReadService::failSession(const FuseSession& session) {
  answerTaken(waiting_.takeAllOfSession(session), EIO);
}

void ReadService::failAll() {
  answerTaken(waiting_.takeAll(), EIO);
}

void ReadService::abandonAll() {
  isAbandoned_.store(true);
  waiting_.takeAll();
}

void ReadService::failHere(const WaitingReadPointer& read) {
  answerError(read, EIO);
  refused(*read->layer, RefusalReason::internal);
}

void ReadService::refused(const Layer& layer, RefusalReason reason) {
  try {
    events_.refused(layer.number(), reason);
  } catch (...) {
    // No memory to tell of it: the count of failed reads has it.
  }
}

void ReadService::answerError(const WaitingReadPointer& read, int error) {
  if (isAbandoned_.load() && error != EINTR) return waiting_.finish(*read);
  if (error != EINTR) Stats::add(stats_.failedReads);
  waiting_.finish(*read, error == EINTR);
  noteTouches(*read);
  read->session->replyError(read->unique, error);
}

void ReadService::answerTaken(std::span<const WaitingReadPointer> reads, int error) {
  if (isAbandoned_.load()) return;
  for (const WaitingReadPointer& read : reads) {
    Stats::add(stats_.failedReads);
    noteTouches(*read);
    read->session->replyError(read->unique, error);
  }
}

}  // namespace lazuli
