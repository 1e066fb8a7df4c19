#include "arguments.h"

#include <climits>
#include <cmath>
#include <stdexcept>
#include <string>

namespace lazuli {
namespace {

[[noreturn]] void refuse(const char* name, const std::string& wanted) {
  throw std::invalid_argument(std::string("Argument \"") + name + "\" must be " + wanted);
}

}  // namespace

uint64_t integerArgument(const Napi::Value& value, const char* name, uint64_t min, uint64_t max) {
  const std::string wanted = "an integer from " + std::to_string(min) + " to " + std::to_string(max);
  if (!value.IsNumber()) refuse(name, wanted);
  const double number = value.As<Napi::Number>().DoubleValue();
  // Limits are at most 2^53 - 1, so that every double in between is the integer it stands for.
  if (!(number >= static_cast<double>(min)) || !(number <= static_cast<double>(max)) || std::trunc(number) != number) {
    refuse(name, wanted);
  }
  return static_cast<uint64_t>(number);
}

int descriptorArgument(const Napi::Value& value, const char* name) {
  return static_cast<int>(integerArgument(value, name, 0, INT_MAX));
}

bool booleanArgument(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) refuse(name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::span<const uint8_t> bytesArgument(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    refuse(name, "a Uint8Array");
  }
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

std::unordered_set<uint64_t> namesArgument(const Napi::Value& value, const char* name) {
  constexpr const char* wanted = "an array of unsigned bigints";
  if (!value.IsArray()) refuse(name, wanted);
  const Napi::Array array = value.As<Napi::Array>();
  std::unordered_set<uint64_t> names;
  for (uint32_t index = 0; index < array.Length(); index++) {
    const Napi::Value item = array.Get(index);
    if (!item.IsBigInt()) refuse(name, wanted);
    bool isLossless = false;
    names.insert(item.As<Napi::BigInt>().Uint64Value(&isLossless));
    if (!isLossless) refuse(name, wanted);
  }
  return names;
}

Napi::Function functionArgument(const Napi::Value& value, const char* name) {
  if (!value.IsFunction()) refuse(name, "a function");
  return value.As<Napi::Function>();
}

Napi::Object objectArgument(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) refuse(name, "an object");
  return value.As<Napi::Object>();
}

}  // namespace lazuli
