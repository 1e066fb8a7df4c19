#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <unordered_set>

namespace lazuli {

/** Reads what JavaScript passed. Each throws std::invalid_argument that names the argument. */
uint64_t integerArgument(const Napi::Value& value, const char* name, uint64_t min, uint64_t max);
int descriptorArgument(const Napi::Value& value, const char* name);
bool booleanArgument(const Napi::Value& value, const char* name);
/** Valid while JavaScript keeps the array. */
std::span<const uint8_t> bytesArgument(const Napi::Value& value, const char* name);
/** An array of unsigned 64-bit bigints. */
std::unordered_set<uint64_t> namesArgument(const Napi::Value& value, const char* name);
Napi::Function functionArgument(const Napi::Value& value, const char* name);
Napi::Object objectArgument(const Napi::Value& value, const char* name);

}  // namespace lazuli
