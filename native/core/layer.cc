#include "layer.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <tuple>

#include "crc32c.h"
#include "disk_space.h"
#include "limits.h"
#include "positioned_io.h"

namespace lazuli {
namespace {

/** How much of a unit verify() holds at once; a multiple of CHECK_BLOCK. */
constexpr size_t VERIFY_PIECE = 256U << 10;
/** Units that one call of punch() holds claims of. */
constexpr size_t PUNCH_UNITS_MAX = 256;
constexpr size_t SUM_BYTES = std::tuple_size_v<Digest>;

size_t blocksOf(uint64_t length) {
  return static_cast<size_t>((length + CHECK_BLOCK - 1) / CHECK_BLOCK);
}

}  // namespace

void Need::addMissing(size_t unit) {
  firstMissing = isMissing ? std::min(firstMissing, unit) : unit;
  lastMissing = std::max(lastMissing, unit);
  isMissing = true;
}

void Need::merge(const Need& other) {
  damageEpoch = std::min(damageEpoch, other.damageEpoch);
  isUnverified = isUnverified || other.isUnverified;
  if (!other.isMissing) return;
  addMissing(other.firstMissing);
  addMissing(other.lastMissing);
}

uint32_t* Layer::Record::place(size_t blocks) {
  if (blocks == 1) return &onlyChecksum;
  if (checksums == nullptr) checksums = std::make_unique_for_overwrite<uint32_t[]>(blocks);
  return checksums.get();
}

Layer::Layer(Options options)
    : number_(options.number),
      data_(std::move(options.data)),
      units_(std::move(options.units)),
      windows_(std::move(options.windows)),
      image_(std::move(options.image)),
      records_(std::make_unique<Record[]>(units_.count())),
      uses_(units_.dataSize()) {
  if (options.present.size() < (units_.count() + 7) / 8) {
    throw std::invalid_argument("Cannot add layer: the presence bits must be one for each unit");
  }
  if (windows_.count() != units_.windowCount()) {
    throw std::invalid_argument("Cannot add layer: the windows must be one for each span");
  }
  takeSums(options.sums);
  for (size_t unit = 0; unit < units_.count(); unit++) {
    if ((options.present[unit / 8] >> (unit % 8) & 1) == 0 || !isSumKnown(unit)) continue;
    records_[unit].state.store(UnitState::unverified, std::memory_order_relaxed);
    presentCount_.fetch_add(1, std::memory_order_relaxed);
  }
}

UnitState Layer::state(size_t unit) const {
  return records_[unit].state.load(std::memory_order_acquire);
}

std::vector<uint8_t> Layer::presence() const {
  std::vector<uint8_t> bits((units_.count() + 7) / 8);
  for (size_t unit = 0; unit < units_.count(); unit++) {
    if (state(unit) != UnitState::missing) bits[unit / 8] |= static_cast<uint8_t>(1U << (unit % 8));
  }
  return bits;
}

void Layer::takeSums(std::span<const uint8_t> sums) {
  if (!sums.empty() && sums.size() != units_.count() * SUM_BYTES) {
    throw std::invalid_argument("Cannot add layer: the sums must be one for each unit");
  }
  if (!units_.needsSums()) return;
  sums_.assign(sums.begin(), sums.end());
  sums_.resize(units_.count() * SUM_BYTES);
}

bool Layer::isSumKnown(size_t index) const {
  const Unit unit = units_.unit(index);
  return unit.digestOf == DigestOf::data || wantedDigest(index, unit) != Digest{};
}

Digest Layer::wantedDigest(size_t index, const Unit& unit) const {
  if (unit.digestOf == DigestOf::data) return unit.sha256;
  const std::lock_guard lock(sumsMutex_);
  Digest sum;
  std::copy_n(&sums_[index * SUM_BYTES], SUM_BYTES, sum.begin());
  return sum;
}

bool Layer::acceptSum(size_t index, const Digest& digest) {
  const Unit unit = units_.unit(index);
  // The checksums of blocks pin the sum. One that an earlier process left may be wrong, the range in the blob is not.
  if (unit.digestOf == DigestOf::data || records_[index].hasChecksums) return wantedDigest(index, unit) == digest;
  const std::lock_guard lock(sumsMutex_);
  std::copy(digest.begin(), digest.end(), &sums_[index * SUM_BYTES]);
  return true;
}

std::vector<uint8_t> Layer::sums() const {
  if (!units_.needsSums()) return std::vector<uint8_t>(units_.count() * SUM_BYTES);
  const std::lock_guard lock(sumsMutex_);
  return sums_;
}

Layer::Claim::Claim(Layer& layer, size_t unit) : layer_(layer), unit_(unit) {
  std::unique_lock lock(layer.claimsMutex_);
  layer.claimsChanged_.wait(lock, [&] { return !layer.claims_.contains(unit); });
  layer.claims_.insert(unit);
}

Layer::Claim::Claim(Layer& layer, size_t unit, std::try_to_lock_t) : layer_(layer), unit_(unit) {
  const std::lock_guard lock(layer.claimsMutex_);
  isHeld_ = layer.claims_.insert(unit).second;
}

Layer::Claim::~Claim() {
  if (!isHeld_) return;
  const std::lock_guard lock(layer_.claimsMutex_);
  layer_.claims_.erase(unit_);
  layer_.claimsChanged_.notify_all();
}

Outcome Layer::store(size_t index, std::span<const uint8_t> bytes) {
  const Unit unit = units_.unit(index);
  if (bytes.size() != unit.dataLength || !acceptSum(index, sha256(bytes))) return Outcome::corrupt;
  const int error = writeAt(data_.get(), unit.dataOffset, bytes);
  if (error != 0) return error == -ENOSPC || error == -EDQUOT ? Outcome::noSpace : Outcome::ioError;
  Record& record = records_[index];
  if (!record.hasChecksums) crc32cBlocks(bytes, record.place(blocksOf(unit.dataLength)));
  record.hasChecksums = true;
  presentCount_.fetch_add(1, std::memory_order_relaxed);
  uses_.touch(unit.dataOffset);
  record.state.store(UnitState::verified, std::memory_order_release);
  return Outcome::stored;
}

Layer::Verdict Layer::verify(size_t index) {
  if (state(index) == UnitState::missing) return {Outcome::truncated, false};
  const Unit unit = units_.unit(index);
  const auto piece = std::make_unique_for_overwrite<uint8_t[]>(VERIFY_PIECE);
  std::vector<uint32_t> checksums(blocksOf(unit.dataLength));
  Sha256 hash;
  for (uint64_t done = 0; done < unit.dataLength;) {
    const auto length = static_cast<size_t>(std::min<uint64_t>(unit.dataLength - done, VERIFY_PIECE));
    const std::span bytes(piece.get(), length);
    const int64_t got = readAt(data_.get(), unit.dataOffset + done, bytes);
    if (got < 0) return {Outcome::ioError, makeMissing(index)};
    if (static_cast<size_t>(got) < length) return {Outcome::truncated, makeMissing(index)};
    hash.update(bytes);
    crc32cBlocks(bytes, checksums.data() + done / CHECK_BLOCK);
    done += length;
  }
  if (hash.finish() != wantedDigest(index, unit)) return {Outcome::corrupt, makeMissing(index)};
  Record& record = records_[index];
  if (!record.hasChecksums) std::copy(checksums.begin(), checksums.end(), record.place(checksums.size()));
  record.hasChecksums = true;
  // A reader may have found the unit damaged meanwhile: then it stays missing.
  UnitState expected = UnitState::unverified;
  record.state.compare_exchange_strong(expected, UnitState::verified, std::memory_order_acq_rel);
  return {Outcome::alreadyPresent, false};
}

Need Layer::need(uint64_t offset, uint64_t length) const {
  Need need;
  need.damageEpoch = damageEpoch();
  const UnitRange range = units_.overlapping(offset, length);
  for (size_t unit = range.first; unit < range.end; unit++) {
    const UnitState now = state(unit);
    if (now == UnitState::missing) need.addMissing(unit);
    else if (now == UnitState::unverified) need.isUnverified = true;
  }
  return need;
}

Layer::ReadResult Layer::read(uint64_t offset, size_t length, std::span<uint8_t> buffer) {
  const UnitRange range = units_.overlapping(offset, length);
  // Before the states: a unit that is evicted from here on changes it before its bytes go.
  const uint64_t evictions = evictions_.load(std::memory_order_acquire);
  for (size_t unit = range.first; unit < range.end; unit++) {
    if (state(unit) != UnitState::verified) return {{}, {}, false};
    uses_.touch(units_.dataOffset(unit));
  }
  uint64_t from = offset;
  uint64_t to = offset + length;
  if (!range.empty()) {
    // Blocks are counted from the unit's first byte: take in the whole of the first and the last one.
    const uint64_t first = units_.dataOffset(range.first);
    if (first < from) from -= (from - first) % CHECK_BLOCK;
    const uint64_t last = units_.dataOffset(range.end - 1);
    const uint64_t lastEnd = last + units_.dataLength(range.end - 1);
    if (to < lastEnd) to = std::min(lastEnd, to + (CHECK_BLOCK - (to - last) % CHECK_BLOCK) % CHECK_BLOCK);
  }
  const std::span<uint8_t> window = buffer.first(static_cast<size_t>(to - from));
  const int64_t got = readAt(data_.get(), from, window);
  // What a short file lacks becomes zeros, as a hole would; the checksums tell whether zeros are right.
  if (got >= 0) std::fill(window.begin() + got, window.end(), uint8_t{0});

  ReadResult result{{}, {}, true};
  uint64_t at = from;
  for (size_t unit = range.first; unit < range.end; unit++) {
    const uint64_t start = std::max(from, units_.dataOffset(unit));
    const uint64_t end = std::min(to, units_.dataOffset(unit) + units_.dataLength(unit));
    std::memset(&window[at - from], 0, start - at);
    const std::span<uint8_t> part = window.subspan(static_cast<size_t>(start - from), static_cast<size_t>(end - start));
    // A failed read may be the fault of one unit of many.
    const bool isRead = got >= 0 || readAt(data_.get(), start, part) == static_cast<int64_t>(part.size());
    if (!isRead || !isIntact(unit, start, end, part.data())) {
      result.isIntact = false;
      // A hole that eviction made is no damage, and the unit may be here again by now.
      const bool isEvicted = evictions_.load(std::memory_order_acquire) != evictions;
      if (!isEvicted && makeMissing(unit)) result.damaged.push_back(unit);
    }
    at = end;
  }
  if (at < to) std::memset(&window[at - from], 0, to - at);
  if (result.isIntact) result.bytes = window.subspan(static_cast<size_t>(offset - from), length);
  return result;
}

bool Layer::isIntact(size_t index, uint64_t from, uint64_t to, const uint8_t* bytes) const {
  const uint64_t start = units_.dataOffset(index);
  const uint32_t* expected = records_[index].list() + (from - start) / CHECK_BLOCK;
  uint32_t actual[READ_MAX / CHECK_BLOCK + 2];
  const auto length = static_cast<size_t>(to - from);
  crc32cBlocks({bytes, length}, actual);
  return std::memcmp(actual, expected, blocksOf(length) * sizeof *expected) == 0;
}

bool Layer::evict(size_t unit) {
  const Claim claim(*this, unit, std::try_to_lock);
  if (!claim.isHeld() || !makeMissing(unit)) return false;
  evictions_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

size_t Layer::punch(size_t first, size_t end, Outcome& outcome) {
  outcome = Outcome::alreadyPresent;
  std::vector<std::unique_ptr<Claim>> claims;
  size_t unit = first;
  while (unit < end && claims.size() < PUNCH_UNITS_MAX) {
    auto claim = std::make_unique<Claim>(*this, unit, std::try_to_lock);
    if (!claim->isHeld() || state(unit) != UnitState::missing) break;
    claims.push_back(std::move(claim));
    unit++;
  }
  if (claims.empty()) return first + 1;
  const uint64_t start = units_.dataOffset(first);
  const uint64_t stop = units_.dataOffset(unit - 1) + units_.dataLength(unit - 1);
  // Blocks that a neighbour shares stay.
  uint64_t from = start - start % PUNCH_BLOCK;
  if (first > 0 && units_.dataOffset(first - 1) + units_.dataLength(first - 1) > from && from < start) from += PUNCH_BLOCK;
  uint64_t to = stop + (PUNCH_BLOCK - stop % PUNCH_BLOCK) % PUNCH_BLOCK;
  if (unit < units_.count() && units_.dataOffset(unit) < to && to > stop) to -= PUNCH_BLOCK;
  outcome = to <= from || punchHole(data_.get(), from, to) == 0 ? Outcome::stored : Outcome::ioError;
  return unit;
}

bool Layer::makeMissing(size_t unit) {
  // Counted before and after: who sees the unit missing sees the first, and who has seen the second sees it missing. With
  // one count only, a read could be told of neither the loss nor the miss, and wait for ever.
  losses_.fetch_add(1, std::memory_order_relaxed);
  if (records_[unit].state.exchange(UnitState::missing, std::memory_order_acq_rel) == UnitState::missing) {
    losses_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  presentCount_.fetch_sub(1, std::memory_order_relaxed);
  damageEpoch_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

}  // namespace lazuli
