#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "events.h"
#include "fuse_session.h"
#include "layer.h"
#include "stats.h"

namespace lazuli {

/** A READ that could not be answered at once. */
struct WaitingRead {
  std::shared_ptr<FuseSession> session;
  uint64_t unique;
  /** The thread that reads; 0 where the kernel does not say. */
  pid_t thread;
  std::shared_ptr<Layer> layer;
  std::vector<Segment> segments;
  /** When it came, and the units that were missing then, sorted. */
  uint64_t since = 0;
  std::vector<uint32_t> missed;

  /** The rest is guarded by WaitingReads. Names the miss that JavaScript was told; 0: none yet. */
  uint64_t id = 0;
  uint64_t damageEpoch = 0;
  uint64_t parkedAt = 0;
  bool isParked = false;
  bool isInterrupted = false;
  /** What the read is to be answered with when it would wait again; 0: it may wait. Read without the lock, too. */
  std::atomic<int> failure = 0;
};

using WaitingReadPointer = std::shared_ptr<WaitingRead>;

/**
 * The reads that wait, found by request (for interrupts) and, while parked, by the first unit they miss. A read is
 * parked or in the hands of one thread; who takes it out of here answers it, so it is answered once.
 */
class WaitingReads {
 public:
  WaitingReads(size_t readsMax, Events& events, Stats& stats) : readsMax_(readsMax), events_(events), stats_(stats) {}

  /** False when full: the read has to fail. */
  bool add(const WaitingReadPointer& read);
  /** The read, which is not parked, is answered. JavaScript hears of an interrupt of a read that it was told of. */
  void finish(const WaitingRead& read, bool isInterrupted = false);

  enum class Parked : uint8_t { parked, unitArrived, interrupted, failed, removed };

  /** Parks the read until one of take(), fail*() or interrupt() has it. Anything but `parked` leaves it with the caller. */
  Parked park(const WaitingReadPointer& read, const Need& need);
  /** Reads that waited for these units first, to be tried again. */
  std::vector<WaitingReadPointer> take(const Layer& layer, uint64_t firstUnit, uint64_t lastUnit);

  enum class Interrupted : uint8_t { unknown, noted, taken };

  /** `taken`: the read is the caller's to answer with EINTR. `noted`: the thread that has it will. */
  Interrupted interrupt(const FuseSession& session, uint64_t unique);
  /** Parked reads whose misses have these names, to be answered with the error; others of them don't park any more. */
  std::vector<WaitingReadPointer> takeNamed(const std::unordered_set<uint64_t>& ids, int error);
  std::vector<WaitingReadPointer> takeAllOfLayer(const Layer& layer);
  std::vector<WaitingReadPointer> takeAllOfSession(const FuseSession& session);
  std::vector<WaitingReadPointer> takeAll();
  /** Units that reads of the layer wait for now, and since when. */
  std::vector<Touch> waitingFor(const Layer& layer) const;
  size_t count() const;
  /** The thread of a waiting read; -1 when no such read waits. */
  pid_t threadOf(const FuseSession& session, uint64_t unique) const;

 private:
  using RequestKey = std::pair<uint32_t, uint64_t>;
  using ByUnit = std::multimap<uint64_t, WaitingReadPointer>;

  struct HashRequest {
    size_t operator()(const RequestKey& key) const { return std::hash<uint64_t>()(key.second * 31 + key.first); }
  };

  static RequestKey keyOf(const WaitingRead& read) { return {read.session->id(), read.unique}; }
  void unpark(const WaitingReadPointer& read);
  template <typename Test>
  std::vector<WaitingReadPointer> takeParked(Test test);

  const size_t readsMax_;
  Events& events_;
  Stats& stats_;
  mutable std::mutex mutex_;
  uint64_t lastId_ = 0;
  std::unordered_map<RequestKey, WaitingReadPointer, HashRequest> byRequest_;
  std::unordered_map<uint32_t, ByUnit> byLayer_;
};

}  // namespace lazuli
