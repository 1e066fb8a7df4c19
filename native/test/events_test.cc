#include "core/events.h"

#include "check.h"

using namespace lazuli;

int main() {
  int wakes = 0;
  Events events([&] { wakes++; });
  events.miss({1, 2, 3, 10});
  events.miss({1, 4, 4, 11});
  events.damaged({1, 7});
  CHECK(wakes == 1);
  // A read that stops waiting before its miss was told leaves no trace.
  events.interrupted(10);
  EventBatch batch = events.take();
  CHECK(batch.misses.size() == 1 && batch.misses[0].read == 11);
  CHECK(batch.interrupts.empty() && batch.damaged.size() == 1);
  events.retract(11);
  CHECK(wakes == 1);
  events.interrupted(11);
  events.completed({5, {0, 1}});
  CHECK(wakes == 2);
  batch = events.take();
  CHECK(batch.interrupts == std::vector<uint64_t>{11});
  CHECK(batch.completions.size() == 1 && batch.completions[0].task == 5);
  CHECK(batch.misses.empty() && batch.damaged.empty() && batch.refused.empty());
  // Refusals are counted, not listed.
  for (int read = 0; read < 3; read++) events.refused(1, RefusalReason::tooManyWaiting);
  events.refused(2, RefusalReason::internal);
  CHECK(wakes == 3);
  batch = events.take();
  CHECK(batch.refused.size() == 2);
  CHECK(batch.refused[0].layer == 1 && batch.refused[0].reads == 3);
  CHECK(batch.refused[1].reason == RefusalReason::internal && batch.refused[1].reads == 1);
  CHECK(events.take().refused.empty());
}
