#include "core/touch_log.h"

#include <atomic>
#include <thread>

#include "check.h"

using namespace lazuli;

namespace {

void notesEachUnitOnce() {
  TouchLog log;
  CHECK(!log.isOn());
  // Whoever saw the flag just before it was off does no harm.
  log.note({0, 10}, 5, {});
  CHECK(log.take().empty());
  log.start(100, 1000);
  CHECK(log.isOn());
  log.note({3, 6}, monotonicNanoseconds(), {});
  const uint32_t missed[] = {6, 64};
  const uint64_t at = monotonicNanoseconds();
  log.note({4, 8}, at, missed);
  log.note({64, 65}, at, missed);
  std::vector<Touch> touches = log.take();
  CHECK(touches.size() == 6);
  for (size_t index = 0; index < 5; index++) CHECK(touches[index].unit == 3 + index);
  CHECK(touches[0].waited == 0 && touches[2].waited == 0);
  CHECK(touches[3].unit == 6 && touches[3].waited > 0 && touches[3].at == at);
  CHECK(touches[4].unit == 7 && touches[4].waited == 0);
  CHECK(touches[5].unit == 64 && touches[5].waited > 0);
  log.note({0, 8}, 1, {});
  touches = log.take();
  CHECK(touches.size() == 3 && touches[2].unit == 2 && touches[2].at == 1);
}

void beginsAnew() {
  TouchLog log;
  log.start(10, 10);
  log.note({0, 2}, 1, {});
  log.start(10, 10);
  log.note({1, 3}, 2, {});
  CHECK(log.take().size() == 4);
  log.stop();
  CHECK(!log.isOn());
  log.note({5, 6}, 3, {});
  CHECK(log.take().empty());
  log.start(10, 10);
  log.note({0, 1}, 4, {});
  CHECK(log.take().size() == 1);
}

void keepsWithinItsBounds() {
  TouchLog log;
  log.start(1000, 7);
  log.note({0, 100}, 1, {});
  log.note({100, 200}, 1, {});
  CHECK(log.take().size() == 7);
  log.note({0, 205}, 2, {});
  CHECK(log.take().size() == 5);
  log.note({990, 100'000}, 2, {});
  CHECK(log.take().size() <= 7);
  log.start(0, 7);
  log.note({0, 1}, 2, {});
  CHECK(log.take().empty());
}

void takesNotesFromManyThreads() {
  constexpr size_t UNITS = 4096;
  TouchLog log;
  log.start(UNITS, UNITS);
  std::atomic<size_t> taken{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; thread++) {
    threads.emplace_back([&] {
      for (size_t unit = 0; unit < UNITS; unit++) log.note({unit, unit + 3}, unit, {});
    });
  }
  threads.emplace_back([&] {
    for (int round = 0; round < 100; round++) taken += log.take().size();
  });
  for (std::thread& thread : threads) thread.join();
  CHECK(taken + log.take().size() == UNITS);
}

}  // namespace

int main() {
  notesEachUnitOnce();
  beginsAnew();
  keepsWithinItsBounds();
  takesNotesFromManyThreads();
}
