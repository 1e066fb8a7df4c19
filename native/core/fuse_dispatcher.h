#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fuse_protocol.h"
#include "fuse_session.h"
#include "read_service.h"
#include "stats.h"

namespace lazuli {

/** Takes one FUSE request apart, and answers it or hands it to the read service. Called by many threads. */
class FuseDispatcher {
 public:
  /** The longest request: a WRITE, which a read-only mount never sends but for which the kernel demands room. */
  static constexpr size_t REQUEST_MAX = (1U << 20) + 4096;

  FuseDispatcher(ReadService& reads, Stats& stats) : reads_(reads), stats_(stats) {}

  /** `bytes` is one whole message of /dev/fuse. Does not throw. */
  void handle(const std::shared_ptr<FuseSession>& session, std::span<const uint8_t> bytes) const;

 private:
  struct Request {
    const std::shared_ptr<FuseSession>& session;
    fuse::InHeader header;
    std::span<const uint8_t> body;

    const FileSystem& files() const { return session->files(); }
    void fail(int error) const { session->replyError(header.unique, error); }
    /** False when the body is too short. */
    template <typename T>
    bool load(T& value) const;
    /** The text of the body from `offset` up to a zero byte. */
    std::string_view text(size_t offset) const;
  };

  void dispatch(const Request& request) const;
  void count(uint32_t opcode) const;
  void initialise(const Request& request) const;
  void lookup(const Request& request) const;
  void attributes(const Request& request) const;
  void readLink(const Request& request) const;
  void openDirectory(const Request& request) const;
  void read(const Request& request) const;
  void list(const Request& request, bool withEntries) const;
  void statistics(const Request& request) const;
  void xattr(const Request& request) const;
  void xattrNames(const Request& request) const;
  void answerXattr(const Request& request, uint32_t size, std::span<const uint8_t> value) const;
  void interrupt(const Request& request) const;

  ReadService& reads_;
  Stats& stats_;
};

}  // namespace lazuli
