#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/sha256.h"
#include "core/unit_table.h"

namespace lazuli::testing {

using Bytes = std::vector<uint8_t>;

template <typename T>
void put(Bytes& bytes, size_t at, T value) {
  std::memcpy(&bytes[at], &value, sizeof value);
}

/** Makes the trailer right for what stands before it. */
inline void seal(Bytes& table) {
  const size_t body = table.size() - 32;
  const Digest digest = sha256({table.data(), body});
  std::memcpy(&table[body], digest.data(), digest.size());
}

/** A table as src/units writes it, without its checks. */
inline Bytes encodeTable(std::span<const Unit> units, uint64_t dataSize, uint64_t blobSize, uint32_t version = 2) {
  Bytes table(64 + units.size() * 80 + 32);
  std::memcpy(table.data(), "lzliunit", 8);
  put<uint32_t>(table, 8, version);
  put<uint32_t>(table, 12, 80);
  put<uint64_t>(table, 16, units.size());
  put<uint64_t>(table, 24, dataSize);
  put<uint64_t>(table, 32, blobSize);
  put<uint32_t>(table, 40, 512);
  size_t at = 64;
  for (const Unit& unit : units) {
    put(table, at, unit.dataOffset);
    put(table, at + 8, unit.dataLength);
    put(table, at + 16, unit.blobOffset);
    put(table, at + 24, unit.blobLength);
    put(table, at + 32, unit.innerOffset);
    std::memcpy(&table[at + 40], unit.sha256.data(), unit.sha256.size());
    table[at + 72] = static_cast<uint8_t>(unit.codec);
    table[at + 73] = static_cast<uint8_t>(unit.digestOf);
    put(table, at + 74, unit.bits);
    put(table, at + 76, unit.windowCrc);
    at += 80;
  }
  seal(table);
  return table;
}

/** Bytes that look random and are the same in each run. */
inline Bytes noise(size_t length, uint64_t seed) {
  Bytes bytes(length);
  for (uint8_t& byte : bytes) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<uint8_t>(seed >> 56);
  }
  return bytes;
}

}  // namespace lazuli::testing
