#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "file_descriptor.h"
#include "fuse_dispatcher.h"
#include "fuse_session.h"

namespace lazuli {

/** Threads that share one epoll over the descriptors of all sessions. */
class FuseLoop {
 public:
  /** Throws std::system_error. */
  FuseLoop(size_t threads, const FuseDispatcher& dispatcher);
  ~FuseLoop();
  FuseLoop(const FuseLoop&) = delete;
  FuseLoop& operator=(const FuseLoop&) = delete;

  void add(const std::shared_ptr<FuseSession>& session);
  /** Null when there is none. Requests in hand are still answered. */
  std::shared_ptr<FuseSession> remove(uint32_t id);
  void stop();

 private:
  enum class Served : uint8_t { more, drained, notMounted, gone };

  struct Entry {
    std::shared_ptr<FuseSession> session;
    bool isWatched;
  };

  void run();
  void attachMounted(std::span<uint8_t> buffer);
  void serve(uint32_t id, std::span<uint8_t> buffer);
  Served serveSome(const std::shared_ptr<FuseSession>& session, std::span<uint8_t> buffer) const;
  void watch(const FuseSession& session) const;
  void unwatch(const FuseSession& session) const;
  void wake() const;

  const FuseDispatcher& dispatcher_;
  const FileDescriptor epoll_;
  const FileDescriptor wake_;
  std::atomic<bool> isStopped_{false};
  /** Sessions whose descriptor has no mount yet. */
  std::atomic<size_t> unmounted_{0};
  mutable std::shared_mutex mutex_;
  std::unordered_map<uint32_t, Entry> sessions_;
  std::vector<std::thread> threads_;
};

}  // namespace lazuli
