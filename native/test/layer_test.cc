#include "core/layer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "check.h"
#include "core/limits.h"
#include "core/positioned_io.h"
#include "sample_table.h"

using namespace lazuli;
using namespace lazuli::testing;

namespace {

/** Units whose offsets and lengths share no block with each other's, and gaps between them. */
constexpr uint64_t PLACES[][2] = {{100, 5000}, {5100, 1}, {8192, 12'288}, {30'000, 20'000}};
constexpr uint64_t DATA_SIZE = 60'000;

struct Sample {
  Bytes data = Bytes(DATA_SIZE);
  int fd = memfd_create("layer_test", MFD_CLOEXEC);
  std::unique_ptr<Layer> layer;

  explicit Sample(uint8_t present, DigestOf digestOf = DigestOf::data, std::span<const uint8_t> sums = {}) {
    std::vector<Unit> units;
    uint64_t blobOffset = 0;
    for (const auto& [offset, length] : PLACES) {
      const Bytes bytes = noise(length, offset);
      std::copy(bytes.begin(), bytes.end(), data.begin() + static_cast<long>(offset));
      // Of a range that is longer than the unit no digest says what the unit has.
      const Digest digest = digestOf == DigestOf::data ? sha256(bytes) : Digest{1};
      units.push_back({offset, length, blobOffset, length + 1, 0, digest, Codec::raw, digestOf});
      blobOffset += length + 1;
    }
    layer = std::make_unique<Layer>(Layer::Options{1, FileDescriptor(fd), UnitTable(encodeTable(units, DATA_SIZE, blobOffset)),
                                                   std::span(&present, 1), sums, {}, nullptr});
  }

  std::span<const uint8_t> bytesOf(size_t unit) const {
    return std::span(data).subspan(PLACES[unit][0], PLACES[unit][1]);
  }
  Outcome store(size_t unit) {
    const Layer::Claim claim(*layer, unit);
    return layer->store(unit, bytesOf(unit));
  }
  void storeAll() {
    for (size_t unit = 0; unit < 4; unit++) CHECK(store(unit) == Outcome::stored);
  }
  Layer::ReadResult read(uint64_t offset, size_t length) {
    static Bytes buffer(READ_MAX + 2 * CHECK_BLOCK);
    std::fill(buffer.begin(), buffer.end(), uint8_t{0xee});
    return layer->read(offset, length, buffer);
  }
  bool reads(uint64_t offset, size_t length) {
    const Layer::ReadResult result = read(offset, length);
    return result.isIntact && result.bytes.size() == length &&
           std::equal(result.bytes.begin(), result.bytes.end(), data.begin() + static_cast<long>(offset));
  }
  void spoil(uint64_t offset) {
    const uint8_t wrong = static_cast<uint8_t>(data[offset] ^ 0x80);
    CHECK(writeAt(fd, offset, {&wrong, 1}) == 0);
  }
};

void readsAnyRange() {
  Sample sample(0);
  sample.storeAll();
  // What a gap holds on disk is not what a reader gets.
  sample.spoil(7000);
  for (uint64_t offset = 0; offset < DATA_SIZE; offset += 613) {
    for (uint64_t length = 1; length <= DATA_SIZE - offset; length = length * 3 + 1) CHECK(sample.reads(offset, length));
  }
  CHECK(sample.reads(0, DATA_SIZE));
}

void reportsNeeds() {
  Sample sample(0b0010);
  Need need = sample.layer->need(0, DATA_SIZE);
  CHECK(need.isUnverified && need.isMissing && need.firstMissing == 0 && need.lastMissing == 3);
  CHECK(sample.store(0) == Outcome::stored);
  need = sample.layer->need(0, 6000);
  CHECK(need.isUnverified && !need.isMissing);
  CHECK(!sample.layer->need(55'000, 100).isMissing);
  CHECK(sample.layer->presence() == Bytes{0b0011});
  CHECK(sample.layer->presentCount() == 2);
}

void refusesWrongBytes() {
  Sample sample(0);
  const Layer::Claim claim(*sample.layer, 2);
  Bytes wrong(sample.bytesOf(2).begin(), sample.bytesOf(2).end());
  wrong.back() ^= 1;
  CHECK(sample.layer->store(2, wrong) == Outcome::corrupt);
  CHECK(sample.layer->store(2, sample.bytesOf(1)) == Outcome::corrupt);
  CHECK(sample.layer->state(2) == UnitState::missing);
}

void findsDamage() {
  Sample sample(0);
  sample.storeAll();
  sample.spoil(30'000 + 4096);
  CHECK(sample.reads(30'000, 4096));
  const uint64_t epoch = sample.layer->damageEpoch();
  const Layer::ReadResult result = sample.read(29'000, 1000 + 4097);
  CHECK(!result.isIntact && result.bytes.empty() && result.damaged == std::vector<size_t>{3});
  CHECK(sample.layer->state(3) == UnitState::missing);
  CHECK(sample.layer->damageEpoch() == epoch + 1);
  CHECK(sample.layer->presentCount() == 3);
  CHECK(sample.store(3) == Outcome::stored);
  CHECK(sample.reads(29'000, 20'000));
  CHECK(ftruncate(sample.fd, 40'000) == 0);
  CHECK(sample.reads(30'000, 4096));
  CHECK(!sample.read(45'000, 10).isIntact);
}

void verifiesWhatWasThere() {
  Sample sample(0b1111);
  for (size_t unit = 0; unit < 3; unit++) CHECK(writeAt(sample.fd, PLACES[unit][0], sample.bytesOf(unit)) == 0);
  sample.spoil(8192);
  const auto verify = [&](size_t unit) {
    const Layer::Claim claim(*sample.layer, unit);
    return sample.layer->verify(unit);
  };
  CHECK(verify(0).outcome == Outcome::alreadyPresent);
  CHECK(verify(0).outcome == Outcome::alreadyPresent);
  const Layer::Verdict spoilt = verify(2);
  CHECK(spoilt.outcome == Outcome::corrupt && spoilt.isNewlyDamaged);
  const Layer::Verdict again = verify(2);
  CHECK(again.outcome == Outcome::truncated && !again.isNewlyDamaged);
  CHECK(verify(3).outcome == Outcome::truncated);
  CHECK(sample.layer->presence() == Bytes{0b0011});
  CHECK(sample.layer->state(1) == UnitState::unverified);
  CHECK(verify(1).outcome == Outcome::alreadyPresent);
  CHECK(sample.reads(100, 5001));
}

void keepsSums() {
  Sample first(0b0010, DigestOf::blob);
  CHECK(first.layer->presentCount() == 0);
  CHECK(first.store(0) == Outcome::stored && first.store(3) == Outcome::stored);
  const Bytes sums = first.layer->sums();
  const Digest sum = sha256(first.bytesOf(3));
  CHECK(sums.size() == 4 * 32 && std::equal(sum.begin(), sum.end(), sums.begin() + 3 * 32));
  CHECK(std::all_of(sums.begin() + 32, sums.begin() + 96, [](uint8_t byte) { return byte == 0; }));

  Sample second(0b1111, DigestOf::blob, sums);
  CHECK(second.layer->presence() == Bytes{0b1001});
  CHECK(second.layer->sums() == sums);
  for (const size_t unit : {0, 3}) CHECK(writeAt(second.fd, PLACES[unit][0], second.bytesOf(unit)) == 0);
  second.spoil(30'000);
  const auto verify = [&](size_t unit) {
    const Layer::Claim claim(*second.layer, unit);
    return second.layer->verify(unit).outcome;
  };
  CHECK(verify(0) == Outcome::alreadyPresent);
  CHECK(verify(3) == Outcome::corrupt);
  CHECK(second.store(3) == Outcome::stored);
  CHECK(second.reads(30'000, 20'000));
  // What was verified once pins the bytes; a sum from outside does not.
  const Layer::Claim claim(*second.layer, 0);
  Bytes other(second.bytesOf(0).begin(), second.bytesOf(0).end());
  other[0] ^= 1;
  CHECK(second.layer->store(0, other) == Outcome::corrupt);
  Bytes wrongSums = sums;
  wrongSums[0] ^= 1;
  Sample third(0b0001, DigestOf::blob, wrongSums);
  CHECK(third.store(0) == Outcome::stored);
  CHECK(std::equal(sums.begin(), sums.begin() + 32, third.layer->sums().begin()));
}

void refusesWrongParts() {
  CHECK_THROWS(std::invalid_argument, Sample(0, DigestOf::blob, Bytes(127)));
  CHECK_THROWS(std::invalid_argument, SpanWindows(Bytes(WINDOW_BYTES), 2));
  CHECK_THROWS(std::invalid_argument, SpanWindows(Bytes(WINDOW_BYTES), SIZE_MAX / 2));
  FileDescriptor file(memfd_create("windows", MFD_CLOEXEC));
  CHECK(ftruncate(file.get(), 2 * WINDOW_BYTES) == 0);
  CHECK_THROWS(std::invalid_argument, SpanWindows(FileDescriptor(dup(file.get())), 1, 2));
  CHECK_THROWS(std::invalid_argument, SpanWindows(FileDescriptor(dup(file.get())), UINT64_MAX, 2));
  CHECK_THROWS(std::invalid_argument, SpanWindows(FileDescriptor(dup(file.get())), 0, SIZE_MAX / 2));
  const SpanWindows windows(FileDescriptor(dup(file.get())), WINDOW_BYTES, 1);
  Bytes window(WINDOW_BYTES, 7);
  CHECK(windows.read(0, window) == 0 && window == Bytes(WINDOW_BYTES));
  CHECK(windows.read(1, window) != 0);
  CHECK(ftruncate(file.get(), 2 * WINDOW_BYTES - 1) == 0);
  CHECK(windows.read(0, window) == -EIO);
}

void claimsExclude() {
  Sample sample(0);
  int inside = 0;
  std::vector<std::thread> threads;
  for (int index = 0; index < 4; index++) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 500; turn++) {
        const Layer::Claim claim(*sample.layer, 1);
        inside++;
        CHECK(inside == 1);
        inside--;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
  readsAnyRange();
  reportsNeeds();
  refusesWrongBytes();
  findsDamage();
  verifiesWhatWasThere();
  keepsSums();
  refusesWrongParts();
  claimsExclude();
}
