#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_set>

#include "events.h"
#include "fuse_dispatcher.h"
#include "fuse_loop.h"
#include "layers.h"
#include "read_service.h"
#include "stats.h"
#include "unit_jobs.h"
#include "worker_pool.h"

namespace lazuli {

enum class SessionKind : uint8_t { flat = 0, tree = 1 };

/**
 * The data plane without JavaScript: layers, sessions, threads. Made and closed by one thread, which also makes all
 * calls; they throw std::invalid_argument, std::out_of_range, or std::system_error with the name of the system call.
 */
class Plane {
 public:
  struct Options {
    size_t fuseThreads;
    size_t workerThreads;
    size_t waitingReadsMax;
    /** Called from any thread when there are events to take. Must not block. */
    std::function<void()> wake;
  };

  explicit Plane(Options options);
  ~Plane();
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  struct LayerOptions {
    uint32_t number;
    /** Duplicated. */
    int dataFd;
    std::span<const uint8_t> units;
    std::span<const uint8_t> present;
    std::span<const uint8_t> sums;
    SpanWindows windows;
    /** Mapped; -1: none. */
    int metaFd;
  };

  void addLayer(LayerOptions options);
  void removeLayer(uint32_t number);
  std::shared_ptr<Layer> layer(uint32_t number) const;

  struct SessionOptions {
    SessionKind kind;
    uint32_t layer;
    int fuseFd;
    bool isAdopted;
  };

  /** Owns the descriptor once it has returned. */
  uint32_t openSession(const SessionOptions& options);
  void closeSession(uint32_t id);

  /** Returns the name of the task, whose completion is among the events. */
  uint64_t ingest(uint32_t layer, UnitRange units, std::span<const uint8_t> bytes, uint64_t blobOffset);
  uint64_t verify(uint32_t layer, UnitRange units);
  uint64_t punch(uint32_t layer, UnitRange units);
  /** Of the workers so many take jobs from now on; at most all do. */
  void limitWorkers(size_t workers) { workers_.limit(workers); }
  void failReads(const std::unordered_set<uint64_t>& misses, int error) { reads_.fail(misses, error); }

  EventBatch takeEvents() { return events_.take(); }
  const Stats& stats() const { return stats_; }
  size_t waitingReads() const { return reads_.waitingCount(); }
  /** Units of a layer that reads wait for now; they are not among what its log has. */
  std::vector<Touch> waitingTouches(uint32_t number) const { return reads_.waitingFor(*layer(number)); }
  /** Takes no more requests, and leaves the reads that wait to whoever adopts the descriptors. Idempotent. */
  void park();
  /** Joins all threads; waiting reads have got EIO and all tasks their completion when it returns. Idempotent. */
  void close();

 private:
  std::unique_ptr<FileSystem> makeFileSystem(const SessionOptions& options) const;

  Stats stats_;
  Events events_;
  Layers layers_;
  WorkerPool workers_;
  ReadService reads_;
  UnitJobs jobs_;
  FuseDispatcher dispatcher_;
  FuseLoop loop_;
  uint32_t lastSession_ = 0;
  uint64_t lastTask_ = 0;
};

}  // namespace lazuli
