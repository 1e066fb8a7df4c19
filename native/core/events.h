#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace lazuli {

struct Miss {
  uint32_t layer;
  uint64_t firstUnit;
  uint64_t lastUnit;
  uint64_t read;
};

struct Damage {
  uint32_t layer;
  uint64_t unit;
};

enum class RefusalReason : uint8_t { tooManyWaiting = 0, internal = 1 };

/** Reads of a layer that got EIO without JavaScript having had a say. */
struct Refusal {
  uint32_t layer;
  RefusalReason reason;
  uint64_t reads;
};

/** What a job on units ended with: one outcome a unit, in order. */
struct Completion {
  uint64_t task;
  std::vector<uint8_t> outcomes;
};

/** All that happened since the last take(). */
struct EventBatch {
  std::vector<Miss> misses;
  std::vector<uint64_t> interrupts;
  std::vector<Damage> damaged;
  std::vector<Refusal> refused;
  std::vector<Completion> completions;
};

/**
 * What the threads have to tell JavaScript, gathered until it has time. Bounded while JavaScript is busy: misses by the
 * reads that wait (one that stops waiting takes its miss back), interrupts by the misses told before, damage by the
 * units present, refusals by the layers, completions by the promises given out.
 */
class Events {
 public:
  /** `wake` is called, from any thread, when the batch stops being empty. It must not block. */
  explicit Events(std::function<void()> wake) : wake_(std::move(wake)) {}

  void miss(const Miss& miss);
  /** The read waits no more. Tells JavaScript only if it was told of the miss. */
  void interrupted(uint64_t read);
  /** The read was answered: its miss is of no interest if it was not told yet. */
  void retract(uint64_t read);
  void damaged(const Damage& damage);
  void refused(uint32_t layer, RefusalReason reason);
  void completed(Completion completion);
  EventBatch take();

 private:
  void wakeOnce(std::unique_lock<std::mutex>& lock);

  const std::function<void()> wake_;
  std::mutex mutex_;
  bool isAwake_ = false;
  std::map<uint64_t, Miss> misses_;
  std::map<std::pair<uint32_t, RefusalReason>, uint64_t> refused_;
  EventBatch batch_;
};

}  // namespace lazuli
