#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "erofs_image.h"
#include "file_descriptor.h"
#include "last_uses.h"
#include "span_windows.h"
#include "touch_log.h"
#include "unit_table.h"

namespace lazuli {

enum class UnitState : uint8_t { missing = 0, unverified = 1, verified = 2 };

/** What became of a unit; the numbers of `unitOutcomes` in src/fuse/binding.ts. */
enum class Outcome : uint8_t { stored = 0, alreadyPresent = 1, corrupt = 2, truncated = 3, ioError = 4, noSpace = 5 };

/** What stands between a range of the data file and its bytes. */
struct Need {
  bool isUnverified = false;
  bool isMissing = false;
  /** The first and last missing unit. */
  size_t firstMissing = 0;
  size_t lastMissing = 0;
  /** The layer's damage epoch before it was looked at: any damage since then makes this stale. */
  uint64_t damageEpoch = 0;

  void addMissing(size_t unit);
  /** What a read of both ranges needs. */
  void merge(const Need& other);
};

/**
 * One layer on disk: the unit table, the sparse data file, and the state of each unit.
 *
 *     missing ──store()──▶ verified ◀──verify()── unverified (on disk since an earlier process)
 *        ▲──────── damage, evict() ────────┴───────────────┘
 *
 * A verified unit has checksums of its blocks in memory, and read() gives out only bytes that agree with them, so that
 * neither a bad disk nor a foreign write reaches a reader. The checksums come from bytes whose SHA-256 was right; they
 * are written once, before the state says verified, and never change, because the digest pins the bytes.
 *
 * A unit whose digest is of its range of the blob has a sum beside it: the SHA-256 of the bytes that were decoded from
 * that range once. It takes the digest's place for what is on disk; without it the unit on disk is worth nothing.
 */
class Layer {
 public:
  struct Options {
    uint32_t number;
    FileDescriptor data;
    UnitTable units;
    /** One bit a unit: on disk already, not verified yet. */
    std::span<const uint8_t> present;
    /** What sums() gave; empty: none is known. */
    std::span<const uint8_t> sums;
    SpanWindows windows;
    std::unique_ptr<ErofsImage> image;
  };

  /** Throws std::invalid_argument when `present` is too short, or sums or windows are not those of the units. */
  explicit Layer(Options options);

  uint32_t number() const { return number_; }
  int dataFd() const { return data_.get(); }
  const UnitTable& units() const { return units_; }
  const SpanWindows& windows() const { return windows_; }
  /** Null where the layer has no tree. */
  const ErofsImage* image() const { return image_.get(); }
  bool isRemoved() const { return removed_.load(std::memory_order_acquire); }
  void markRemoved() { removed_.store(true, std::memory_order_release); }

  /** Which units reads touch, while somebody records it. */
  TouchLog& touches() { return touches_; }

  UnitState state(size_t unit) const;
  std::vector<uint8_t> presence() const;
  /** A SHA-256 a unit; zeros where it is not known, or the unit's own digest says it. */
  std::vector<uint8_t> sums() const;
  size_t presentCount() const { return presentCount_.load(std::memory_order_relaxed); }
  /** Grows with each unit that turns out to be damaged, or is evicted, once it is missing. */
  uint64_t damageEpoch() const { return damageEpoch_.load(std::memory_order_acquire); }
  /** Whether a unit that is missing now may have been here when damageEpoch() was `epoch`. */
  bool hasLostUnitsSince(uint64_t epoch) const { return losses_.load(std::memory_order_acquire) != epoch; }

  /** The right to change a unit. At most one at a time for a unit; a holder must not wait for another claim. */
  class Claim {
   public:
    Claim(Layer& layer, size_t unit);
    /** Does not wait: see isHeld(). */
    Claim(Layer& layer, size_t unit, std::try_to_lock_t);
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    bool isHeld() const { return isHeld_; }

   private:
    Layer& layer_;
    size_t unit_;
    bool isHeld_ = true;
  };

  /**
   * Checks the digest, writes, and marks the unit verified. Needs the claim. `bytes` has the unit's length; where the
   * digest is of the blob, they were decoded from a range that has it.
   */
  Outcome store(size_t unit, std::span<const uint8_t> bytes);

  struct Verdict {
    /** alreadyPresent when intact, truncated when missing or cut short, corrupt, ioError. */
    Outcome outcome;
    /** The unit was present and is missing now. */
    bool isNewlyDamaged;
  };

  /** Checks a unit that is present against its digest, from disk. Needs the claim. */
  Verdict verify(size_t unit);

  /**
   * Makes a unit missing whose bytes are sound, and does not wait: false when it is missing already or somebody changes it.
   * A read that has it in hand meets either its bytes or its absence. The bytes keep their place until punch().
   */
  bool evict(size_t unit);

  /**
   * Gives back the disk space of the missing units from `first` on, up to the first of [first, end) that is here or in
   * other hands; returns one behind the last unit that it looked at. `outcome` is stored where a hole was made, and else
   * alreadyPresent or ioError.
   */
  size_t punch(size_t first, size_t end, Outcome& outcome);

  const LastUses& lastUses() const { return uses_; }

  /** What read() would meet in the range now. */
  Need need(uint64_t offset, uint64_t length) const;

  struct ReadResult {
    /** Inside the buffer; empty when a unit was damaged or is not here any more. */
    std::span<const uint8_t> bytes;
    /** Units that were verified before and are missing now. */
    std::vector<size_t> damaged;
    bool isIntact;
  };

  /**
   * Reads and checks a range whose units are all verified. Bytes between units are zeros. The buffer has room for
   * `length` + 2 CHECK_BLOCKs.
   */
  ReadResult read(uint64_t offset, size_t length, std::span<uint8_t> buffer);

 private:
  struct Record {
    std::atomic<UnitState> state{UnitState::missing};
    /** Guarded by the claim until the state says verified. */
    bool hasChecksums = false;
    uint32_t onlyChecksum = 0;
    std::unique_ptr<uint32_t[]> checksums;

    const uint32_t* list() const { return checksums != nullptr ? checksums.get() : &onlyChecksum; }
    uint32_t* place(size_t blocks);
  };

  void takeSums(std::span<const uint8_t> sums);
  bool isSumKnown(size_t unit) const;
  /** What the unit's bytes must have. */
  Digest wantedDigest(size_t index, const Unit& unit) const;
  /** Takes the digest of bytes that were decoded from the right range. */
  bool acceptSum(size_t index, const Digest& digest);
  bool makeMissing(size_t unit);
  bool isIntact(size_t unit, uint64_t from, uint64_t to, const uint8_t* bytes) const;

  const uint32_t number_;
  const FileDescriptor data_;
  const UnitTable units_;
  const SpanWindows windows_;
  const std::unique_ptr<ErofsImage> image_;
  const std::unique_ptr<Record[]> records_;
  std::atomic<size_t> presentCount_{0};
  std::atomic<uint64_t> damageEpoch_{0};
  /** As damageEpoch_, but ahead of it while a unit is being made missing. */
  std::atomic<uint64_t> losses_{0};
  std::atomic<uint64_t> evictions_{0};
  LastUses uses_;
  std::atomic<bool> removed_{false};
  mutable std::mutex sumsMutex_;
  /** Empty where no unit needs one. */
  std::vector<uint8_t> sums_;
  std::mutex claimsMutex_;
  std::condition_variable claimsChanged_;
  std::unordered_set<size_t> claims_;
  TouchLog touches_;
};

}  // namespace lazuli
