#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "check.h"
#include "core/disk_space.h"
#include "core/layer.h"
#include "core/limits.h"
#include "core/worker_pool.h"
#include "sample_table.h"

using namespace lazuli;
using namespace lazuli::testing;

namespace {

/** Units side by side that share blocks with each other, but for the last one, which lies behind a gap. */
constexpr uint64_t PLACES[][2] = {{0, 10'000}, {10'000, 300'000}, {310'000, 90'000}, {2'000'000, 50'000}};
constexpr size_t UNITS = 4;
constexpr uint64_t DATA_SIZE = 2'050'000;

struct Sample {
  Bytes data = Bytes(DATA_SIZE);
  int fd = memfd_create("eviction_test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  std::unique_ptr<Layer> layer;

  Sample() {
    std::vector<Unit> units;
    uint64_t blobOffset = 0;
    for (const auto& [offset, length] : PLACES) {
      const Bytes bytes = noise(length, offset + 1);
      std::copy(bytes.begin(), bytes.end(), data.begin() + static_cast<long>(offset));
      units.push_back({offset, length, blobOffset, length, 0, sha256(bytes), Codec::raw, DigestOf::data});
      blobOffset += length;
    }
    CHECK(ftruncate(fd, DATA_SIZE) == 0);
    const uint8_t present = 0;
    layer = std::make_unique<Layer>(Layer::Options{1, FileDescriptor(fd), UnitTable(encodeTable(units, DATA_SIZE, blobOffset)),
                                                   std::span(&present, 1), {}, {}, nullptr});
  }

  Outcome store(size_t unit) {
    const Layer::Claim claim(*layer, unit);
    if (layer->state(unit) != UnitState::missing) return Outcome::alreadyPresent;
    return layer->store(unit, std::span(data).subspan(PLACES[unit][0], PLACES[unit][1]));
  }
  bool reads(size_t unit) {
    Bytes buffer(READ_MAX + 2 * CHECK_BLOCK);
    const auto [offset, length] = PLACES[unit];
    const Layer::ReadResult result = layer->read(offset, length, buffer);
    CHECK(result.damaged.empty());
    return result.isIntact && std::equal(result.bytes.begin(), result.bytes.end(), data.begin() + static_cast<long>(offset));
  }
};

void evictsAndPunches() {
  Sample sample;
  for (size_t unit = 0; unit < UNITS; unit++) CHECK(sample.store(unit) == Outcome::stored);
  const uint64_t before = bytesOnDisk(sample.fd);
  const uint64_t epoch = sample.layer->damageEpoch();
  CHECK(sample.layer->evict(1) && !sample.layer->evict(1));
  CHECK(sample.layer->damageEpoch() == epoch + 1);
  CHECK(sample.layer->state(1) == UnitState::missing && sample.layer->presentCount() == UNITS - 1);
  CHECK(bytesOnDisk(sample.fd) == before);
  CHECK(!sample.reads(1) && sample.reads(0) && sample.reads(2));

  Outcome outcome;
  CHECK(sample.layer->punch(0, UNITS, outcome) == 1 && outcome == Outcome::alreadyPresent);
  CHECK(sample.layer->punch(1, UNITS, outcome) == 2 && outcome == Outcome::stored);
  // Of 300,000 bytes the blocks at both ends belong to neighbours too.
  CHECK(before - bytesOnDisk(sample.fd) == 72 * 4096);
  CHECK(sample.reads(0) && sample.reads(2) && sample.reads(3));
  CHECK(sample.store(1) == Outcome::stored && sample.reads(1));
  CHECK(bytesOnDisk(sample.fd) == before);
}

void punchesAllOfARun() {
  Sample sample;
  for (size_t unit = 0; unit < UNITS; unit++) CHECK(sample.store(unit) == Outcome::stored);
  for (size_t unit = 0; unit < UNITS; unit++) CHECK(sample.layer->evict(unit));
  Outcome outcome;
  CHECK(sample.layer->punch(0, UNITS, outcome) == UNITS && outcome == Outcome::stored);
  CHECK(bytesOnDisk(sample.fd) == 0);
}

void leavesWhatIsBeingChanged() {
  Sample sample;
  CHECK(sample.store(0) == Outcome::stored);
  {
    const Layer::Claim claim(*sample.layer, 0);
    CHECK(!sample.layer->evict(0));
    CHECK(!Layer::Claim(*sample.layer, 0, std::try_to_lock).isHeld());
  }
  CHECK(sample.layer->evict(0));
  const Layer::Claim claim(*sample.layer, 0);
  Outcome outcome;
  CHECK(sample.layer->punch(0, 1, outcome) == 1 && outcome == Outcome::alreadyPresent);
}

/** Readers of a unit that comes and goes get its bytes or none, and nobody takes it for damaged. */
void racesWithReaders() {
  Sample sample;
  std::atomic<bool> isOver{false};
  std::atomic<uint64_t> intact{0};
  std::vector<std::thread> readers;
  for (int index = 0; index < 2; index++) {
    readers.emplace_back([&] {
      while (!isOver.load()) {
        if (sample.reads(1)) intact.fetch_add(1);
      }
    });
  }
  for (int turn = 0; turn < 300 || intact.load() == 0; turn++) {
    sample.store(1);
    while (!sample.layer->evict(1)) std::this_thread::yield();
    Outcome outcome;
    sample.layer->punch(1, 2, outcome);
  }
  isOver.store(true);
  for (std::thread& reader : readers) reader.join();
}

/** Who has seen a unit here and finds it missing must see that one was lost: else a read is never told of again. */
void countsEachLossBeforeItShows() {
  Sample sample;
  const uint64_t before = sample.layer->damageEpoch();
  CHECK(!sample.layer->evict(0) && !sample.layer->hasLostUnitsSince(before));
  std::atomic<bool> isOver{false};
  std::thread watcher([&] {
    while (!isOver.load()) {
      const uint64_t epoch = sample.layer->damageEpoch();
      if (sample.layer->state(0) == UnitState::missing) continue;
      while (sample.layer->state(0) != UnitState::missing && !isOver.load()) {
      }
      CHECK(sample.layer->state(0) != UnitState::missing || sample.layer->hasLostUnitsSince(epoch));
    }
  });
  for (int turn = 0; turn < 500; turn++) {
    CHECK(sample.store(0) == Outcome::stored);
    CHECK(sample.layer->evict(0));
  }
  isOver.store(true);
  watcher.join();
  CHECK(sample.layer->damageEpoch() == before + 500 && !sample.layer->hasLostUnitsSince(before + 500));
}

void boundsWhatItRemembers() {
  LastUses uses((1ULL << 53) - 1);
  uses.touch(1ULL << 52);
  const std::vector<double> times = uses.list();
  CHECK(times.size() == LastUses::GROUPS_MAX && times.back() > 0 && times.front() == 0);
}

void remembersUses() {
  Sample sample;
  CHECK(sample.layer->lastUses().list() == (std::vector<double>{0, 0}));
  CHECK(sample.store(3) == Outcome::stored);
  const std::vector<double> times = sample.layer->lastUses().list();
  CHECK(times[0] == 0 && times[1] > 0);
  CHECK(sample.store(0) == Outcome::stored && sample.reads(0));
  CHECK(sample.layer->lastUses().list()[0] >= times[1]);
}

void seesOtherUsers() {
  char path[] = "/tmp/lazuli-eviction-XXXXXX";
  const FileDescriptor own(mkstemp(path));
  CHECK(own.get() >= 0);
  // Whatever else can't be had for a lease counts as a user: without leases this test says nothing.
  if (!isOpenElsewhere(own.get())) {
    const FileDescriptor copy(dup(own.get()));
    CHECK(!isOpenElsewhere(own.get()));
    {
      const FileDescriptor other(open(path, O_RDONLY | O_CLOEXEC));
      CHECK(other.get() >= 0 && isOpenElsewhere(own.get()));
    }
    CHECK(!isOpenElsewhere(own.get()));
  }
  CHECK(unlink(path) == 0);
}

void tellsAFailedWrite() {
  Sample sample;
  CHECK(fcntl(sample.fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
  CHECK(sample.store(0) == Outcome::ioError);
}

void limitsWorkers() {
  WorkerPool pool(4);
  pool.limit(1);
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  for (int job = 0; job < 50; job++) {
    pool.post(Priority::ordinary, [&](bool) {
      const int now = running.fetch_add(1) + 1;
      if (now > most.load()) most.store(now);
      std::this_thread::yield();
      running.fetch_sub(1);
      done.fetch_add(1);
    });
  }
  while (done.load() < 50) std::this_thread::yield();
  CHECK(most.load() == 1);
  pool.limit(4);
  std::atomic<int> inside{0};
  for (int job = 0; job < 4; job++) {
    pool.post(Priority::urgent, [&](bool isCancelled) {
      inside.fetch_add(1);
      while (!isCancelled && inside.load() < 4) std::this_thread::yield();
    });
  }
  while (inside.load() < 4) std::this_thread::yield();
  pool.stop();
}

}  // namespace

int main() {
  evictsAndPunches();
  punchesAllOfARun();
  leavesWhatIsBeingChanged();
  racesWithReaders();
  countsEachLossBeforeItShows();
  boundsWhatItRemembers();
  remembersUses();
  seesOtherUsers();
  tellsAFailedWrite();
  limitsWorkers();
}
