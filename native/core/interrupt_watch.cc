#include "interrupt_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "file_descriptor.h"

namespace lazuli {
namespace {

constexpr auto kPause = std::chrono::milliseconds(50);
constexpr uint64_t kKillBit = 1U << (9 - 1);
constexpr size_t kStatusMax = 8192;

uint64_t signalSet(const char* status, const char* name) {
  const char* line = std::strstr(status, name);
  return line == nullptr ? 0 : std::strtoull(line + std::strlen(name), nullptr, 16);
}

}  // namespace

bool isBeingKilled(pid_t thread) {
  if (thread <= 0) return false;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/status", thread);
  const FileDescriptor file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char status[kStatusMax];
  const ssize_t got = read(file.get(), status, sizeof status - 1);
  if (got <= 0) return false;
  status[got] = '\0';
  // A signal that ends the process puts SIGKILL into the own set of each thread, whichever signal it was.
  return ((signalSet(status, "\nSigPnd:") | signalSet(status, "\nShdPnd:")) & kKillBit) != 0;
}

InterruptWatch::InterruptWatch(Parts parts) : parts_(std::move(parts)), thread_([this] { run(); }) {}

InterruptWatch::~InterruptWatch() {
  {
    const std::lock_guard lock(mutex_);
    isStopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void InterruptWatch::add(Watched watched) {
  {
    const std::lock_guard lock(mutex_);
    added_.push_back(std::move(watched));
  }
  changed_.notify_all();
}

void InterruptWatch::run() {
  std::vector<Watched> watched;
  std::unique_lock lock(mutex_);
  while (!isStopped_) {
    const auto hasNews = [&] { return isStopped_ || !added_.empty(); };
    if (watched.empty()) changed_.wait(lock, hasNews);
    else changed_.wait_for(lock, kPause, hasNews);
    if (isStopped_) return;
    watched.insert(watched.end(), std::make_move_iterator(added_.begin()), std::make_move_iterator(added_.end()));
    added_.clear();
    lock.unlock();
    watched = settled(std::move(watched));
    lock.lock();
  }
}

/** Interrupts the reads of threads that are being killed and returns those that still have to be watched. */
std::vector<InterruptWatch::Watched> InterruptWatch::settled(std::vector<Watched> all) const {
  std::vector<Watched> left;
  for (Watched& watched : all) {
    if (!parts_.isWaiting(watched)) continue;
    if (isBeingKilled(watched.thread)) parts_.interrupt(watched);
    else left.push_back(std::move(watched));
  }
  return left;
}

}  // namespace lazuli
