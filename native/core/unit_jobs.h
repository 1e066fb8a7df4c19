#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "events.h"
#include "layer.h"
#include "read_service.h"
#include "stats.h"
#include "stream_decoder.h"
#include "worker_pool.h"

namespace lazuli {

/** Work on ranges of units, cut into jobs for the workers. Each task ends with one completion event. */
class UnitJobs {
 public:
  struct Parts {
    WorkerPool& workers;
    Events& events;
    ReadService& reads;
    Stats& stats;
  };

  explicit UnitJobs(const Parts& parts)
      : workers_(parts.workers), events_(parts.events), reads_(parts.reads), stats_(parts.stats) {}

  struct Ingest {
    uint64_t task;
    std::shared_ptr<Layer> layer;
    UnitRange units;
    /** Valid until the completion is taken. */
    std::span<const uint8_t> bytes;
    uint64_t blobOffset;
  };

  /** Throws std::out_of_range when the bytes begin behind a stream that is asked for, or the units don't exist. */
  void ingest(const Ingest& ingest);
  /** Throws std::out_of_range when the units don't exist. */
  void verify(uint64_t task, const std::shared_ptr<Layer>& layer, UnitRange units);
  /** Gives back the disk space of those units that are missing. Throws std::out_of_range when the units don't exist. */
  void punch(uint64_t task, const std::shared_ptr<Layer>& layer, UnitRange units);

 private:
  /** A task while its jobs run. A job writes the outcomes of its own units only. */
  struct Task {
    Ingest options;
    std::vector<uint8_t> outcomes;
    std::atomic<size_t> jobsLeft{0};

    Layer& layer() { return *options.layer; }
    void set(size_t unit, Outcome outcome) { outcomes[unit - options.units.first] = static_cast<uint8_t>(outcome); }
  };
  using TaskPointer = std::shared_ptr<Task>;
  using Step = void (UnitJobs::*)(Task&, UnitRange);

  TaskPointer makeTask(const Ingest& options) const;
  void post(const TaskPointer& task, const std::vector<UnitRange>& parts, Step step);
  void ingestStreams(Task& task, UnitRange units);
  void ingestStream(Task& task, UnitRange units);
  Outcome ingestUnit(Task& task, size_t unit, std::unique_ptr<StreamDecoder>& decoder);
  /** `bytes` is what there is of the unit's range of the blob. */
  Outcome checkRange(const Unit& unit, std::span<const uint8_t> bytes) const;
  std::unique_ptr<StreamDecoder> makeSpanDecoder(const Layer& layer, size_t index, std::span<const uint8_t> bytes) const;
  void verifyUnits(Task& task, UnitRange units);
  void punchUnits(Task& task, UnitRange units);

  WorkerPool& workers_;
  Events& events_;
  ReadService& reads_;
  Stats& stats_;
};

}  // namespace lazuli
