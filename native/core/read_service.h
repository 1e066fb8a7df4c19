#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>

#include "events.h"
#include "fuse_session.h"
#include "interrupt_watch.h"
#include "layer.h"
#include "stats.h"
#include "waiting_reads.h"
#include "worker_pool.h"

namespace lazuli {

/**
 * Answers READs: at once when every unit is verified, after a check from disk when some are not verified yet, and when
 * JavaScript has delivered them when some are missing.
 */
class ReadService {
 public:
  struct Parts {
    WorkerPool& workers;
    Events& events;
    Stats& stats;
    size_t waitingReadsMax;
  };

  explicit ReadService(const Parts& parts);

  /** A READ request: who asks, and from which thread (0: unknown). */
  struct Origin {
    const std::shared_ptr<FuseSession>& session;
    uint64_t unique;
    pid_t thread;
  };

  /** Answers the request, now or later. */
  void serve(const Origin& origin, const std::shared_ptr<Layer>& layer, std::span<const Segment> segments);
  /**
   * The reading thread has a signal. The read goes on waiting unless that ends the thread: then it gets EINTR. False when
   * the read is not waiting: it may be about to.
   */
  bool interrupt(const std::shared_ptr<FuseSession>& session, uint64_t unique);
  /** Tries the reads again that waited for these units. */
  void unitsArrived(const Layer& layer, uint64_t firstUnit, uint64_t lastUnit);
  void unitDamaged(const Layer& layer, uint64_t unit);
  /** Ends the reads whose misses have these names; one that a thread has in hand when it would wait again. */
  void fail(const std::unordered_set<uint64_t>& misses, int error);
  void failLayer(const Layer& layer);
  void failSession(const FuseSession& session);
  void failAll();
  /** From now on a read is answered with its bytes or not at all: the kernel keeps it for another process. */
  void abandonAll();
  size_t waitingCount() const { return waiting_.count(); }
  std::vector<Touch> waitingFor(const Layer& layer) const { return waiting_.waitingFor(layer); }

 private:
  /** `waited` is null for a read that has only come. */
  bool attempt(const FuseSession& session, uint64_t unique, Layer& layer, std::span<const Segment> segments, Need& need,
               const WaitingRead* waited);
  bool assemble(Layer& layer, std::span<const Segment> segments, std::span<const uint8_t>& bytes);
  void resume(const WaitingReadPointer& read);
  void resumeOrFail(const WaitingReadPointer& read);
  void verifyThenResume(const WaitingReadPointer& read);
  void giveUp(const InterruptWatch::Watched& read);
  void failHere(const WaitingReadPointer& read);
  void refused(const Layer& layer, RefusalReason reason);
  void answerError(const WaitingReadPointer& read, int error);
  void answerTaken(std::span<const WaitingReadPointer> reads, int error);

  WorkerPool& workers_;
  Events& events_;
  Stats& stats_;
  WaitingReads waiting_;
  InterruptWatch interrupts_;
  std::atomic<bool> isAbandoned_{false};
};

}  // namespace lazuli
