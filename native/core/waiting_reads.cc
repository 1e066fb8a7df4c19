#include "waiting_reads.h"

namespace lazuli {

bool WaitingReads::add(const WaitingReadPointer& read) {
  const std::lock_guard lock(mutex_);
  if (byRequest_.size() >= readsMax_) return false;
  byRequest_[keyOf(*read)] = read;
  return true;
}

void WaitingReads::finish(const WaitingRead& read, bool isInterrupted) {
  const std::lock_guard lock(mutex_);
  byRequest_.erase(keyOf(read));
  if (read.id == 0) return;
  if (isInterrupted) events_.interrupted(read.id);
  else events_.retract(read.id);
}

WaitingReads::Parked WaitingReads::park(const WaitingReadPointer& read, const Need& need) {
  const std::lock_guard lock(mutex_);
  if (read->isInterrupted) return Parked::interrupted;
  if (read->failure != 0) return Parked::failed;
  if (read->layer->isRemoved()) return Parked::removed;
  // A unit's state changes before take() looks here: what has arrived by now would not wake this read.
  if (read->layer->state(need.firstMissing) != UnitState::missing) return Parked::unitArrived;
  // After damage a unit may be missing that JavaScript has delivered for this read: it is told again, under a new name.
  if (read->id == 0 || read->layer->hasLostUnitsSince(read->damageEpoch)) {
    read->id = ++lastId_;
    read->damageEpoch = need.damageEpoch;
    Stats::add(stats_.misses);
    events_.miss({read->layer->number(), need.firstMissing, need.lastMissing, read->id});
  }
  read->isParked = true;
  read->parkedAt = need.firstMissing;
  byLayer_[read->layer->number()].emplace(need.firstMissing, read);
  return Parked::parked;
}

std::vector<WaitingReadPointer> WaitingReads::take(const Layer& layer, uint64_t firstUnit, uint64_t lastUnit) {
  std::vector<WaitingReadPointer> taken;
  const std::lock_guard lock(mutex_);
  const auto found = byLayer_.find(layer.number());
  if (found == byLayer_.end()) return taken;
  ByUnit& waiting = found->second;
  const auto end = waiting.upper_bound(lastUnit);
  for (auto at = waiting.lower_bound(firstUnit); at != end; at = waiting.erase(at)) {
    at->second->isParked = false;
    taken.push_back(at->second);
  }
  if (waiting.empty()) byLayer_.erase(found);
  return taken;
}

WaitingReads::Interrupted WaitingReads::interrupt(const FuseSession& session, uint64_t unique) {
  const std::lock_guard lock(mutex_);
  const auto found = byRequest_.find({session.id(), unique});
  if (found == byRequest_.end()) return Interrupted::unknown;
  const WaitingReadPointer read = found->second;
  if (!read->isParked) {
    read->isInterrupted = true;
    return Interrupted::noted;
  }
  unpark(read);
  byRequest_.erase(found);
  events_.interrupted(read->id);
  return Interrupted::taken;
}

std::vector<WaitingReadPointer> WaitingReads::takeNamed(const std::unordered_set<uint64_t>& ids, int error) {
  return takeParked([&](WaitingRead& read) {
    if (!ids.contains(read.id)) return false;
    read.failure = error;
    return true;
  });
}

std::vector<WaitingReadPointer> WaitingReads::takeAllOfLayer(const Layer& layer) {
  return takeParked([&](const WaitingRead& read) { return read.layer.get() == &layer; });
}

std::vector<WaitingReadPointer> WaitingReads::takeAllOfSession(const FuseSession& session) {
  return takeParked([&](const WaitingRead& read) { return read.session->id() == session.id(); });
}

std::vector<WaitingReadPointer> WaitingReads::takeAll() {
  return takeParked([](const WaitingRead&) { return true; });
}

std::vector<Touch> WaitingReads::waitingFor(const Layer& layer) const {
  std::vector<Touch> touches;
  const uint64_t now = monotonicNanoseconds();
  const std::lock_guard lock(mutex_);
  for (const auto& [key, read] : byRequest_) {
    if (read->layer.get() != &layer) continue;
    for (const uint32_t unit : read->missed) touches.push_back({unit, read->since, now - read->since});
  }
  return touches;
}

size_t WaitingReads::count() const {
  const std::lock_guard lock(mutex_);
  return byRequest_.size();
}

pid_t WaitingReads::threadOf(const FuseSession& session, uint64_t unique) const {
  const std::lock_guard lock(mutex_);
  const auto found = byRequest_.find({session.id(), unique});
  return found == byRequest_.end() ? -1 : found->second->thread;
}

void WaitingReads::unpark(const WaitingReadPointer& read) {
  const auto found = byLayer_.find(read->layer->number());
  auto [at, end] = found->second.equal_range(read->parkedAt);
  while (at != end && at->second != read) ++at;
  if (at != end) found->second.erase(at);
  if (found->second.empty()) byLayer_.erase(found);
  read->isParked = false;
}

template <typename Test>
std::vector<WaitingReadPointer> WaitingReads::takeParked(Test test) {
  std::vector<WaitingReadPointer> taken;
  const std::lock_guard lock(mutex_);
  for (auto at = byRequest_.begin(); at != byRequest_.end();) {
    const WaitingReadPointer read = at->second;
    if (!test(*read) || !read->isParked) {
      ++at;
      continue;
    }
    unpark(read);
    at = byRequest_.erase(at);
    events_.retract(read->id);
    taken.push_back(read);
  }
  return taken;
}

}  // namespace lazuli
