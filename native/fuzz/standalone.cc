// Stands in for libFuzzer where clang is not installed: reads the files of the folders that are named once each, and then
// for -max_total_time seconds makes mutants of them, the same in each run. It sees no coverage.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "input.h"

namespace {

using Bytes = std::vector<uint8_t>;

class Random {
 public:
  size_t below(size_t limit) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return limit == 0 ? 0 : (state_ >> 33) % limit;
  }

 private:
  uint64_t state_ = 1;
};

void change(Bytes& bytes, const Bytes& other, Random& random) {
  const size_t at = random.below(bytes.size());
  const size_t length = 1 + random.below(16);
  switch (random.below(6)) {
    case 0:
      bytes.resize(at);
      return;
    case 1:
      bytes.erase(bytes.begin() + static_cast<long>(at), bytes.begin() + static_cast<long>(std::min(bytes.size(), at + length)));
      return;
    case 2: {
      const size_t from = random.below(other.size());
      const size_t end = std::min(other.size(), from + length * 8);
      bytes.insert(bytes.begin() + static_cast<long>(at), other.begin() + static_cast<long>(from), other.begin() + static_cast<long>(end));
      return;
    }
    case 3:
      for (size_t index = at; index < std::min(bytes.size(), at + 8); index++) bytes[index] = random.below(2) == 0 ? 0 : 0xff;
      return;
    default:
      if (!bytes.empty()) bytes[at] ^= static_cast<uint8_t>(1U << random.below(8));
  }
}

void run(const Bytes& bytes, const char* last) {
  // What breaks the target is there afterwards.
  std::ofstream(last, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<Bytes> corpus;
  double seconds = 0;
  size_t lengthMax = 65'536;
  std::string prefix;
  for (int index = 1; index < count; index++) {
    const char* argument = arguments[index];
    if (std::sscanf(argument, "-max_total_time=%lf", &seconds) == 1 || std::sscanf(argument, "-max_len=%zu", &lengthMax) == 1) continue;
    if (std::strncmp(argument, "-artifact_prefix=", 17) == 0) prefix = argument + 17;
    if (argument[0] == '-') continue;
    for (const auto& entry : std::filesystem::directory_iterator(argument)) {
      std::ifstream file(entry.path(), std::ios::binary);
      corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  if (corpus.empty()) corpus.emplace_back();
  const std::string last = prefix + "last";
  size_t executions = 0;
  for (const Bytes& bytes : corpus) {
    run(bytes, last.c_str());
    executions++;
  }
  Random random;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    Bytes bytes = corpus[random.below(corpus.size())];
    for (size_t changes = 1 + random.below(4); changes > 0; changes--) change(bytes, corpus[random.below(corpus.size())], random);
    if (bytes.size() > lengthMax) bytes.resize(lengthMax);
    run(bytes, last.c_str());
    executions++;
  }
  std::filesystem::remove(last);
  std::fprintf(stderr, "stat::number_of_executed_units: %zu\n", executions);
  return 0;
}
