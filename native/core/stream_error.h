#pragma once

#include <stdexcept>
#include <string>

namespace lazuli {

enum class StreamFault { truncated, corrupt, trailingGarbage, checksum, length, tooLarge };

/** What is wrong with a stranger's stream. */
class StreamError : public std::runtime_error {
 public:
  StreamError(StreamFault fault, const std::string& what)
      : std::runtime_error("Cannot index stream: " + what), fault_(fault) {}

  StreamFault fault() const { return fault_; }
  /** One of `streamReasons` in src/fuse/native-stream-indexer.ts. */
  const char* reason() const {
    switch (fault_) {
      case StreamFault::truncated: return "stream-truncated";
      case StreamFault::corrupt: return "stream-corrupt";
      case StreamFault::trailingGarbage: return "stream-trailing-garbage";
      case StreamFault::checksum: return "stream-checksum-mismatch";
      case StreamFault::length: return "stream-length-mismatch";
      case StreamFault::tooLarge: break;
    }
    return "stream-too-large";
  }

 private:
  const StreamFault fault_;
};

}  // namespace lazuli
