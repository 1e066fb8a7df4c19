#include "fuse_dispatcher.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "limits.h"

namespace lazuli {
namespace {

/** What we can do; the kernel's own list is taken from it. */
constexpr uint64_t WANTED = fuse::INIT_ASYNC_READ | fuse::INIT_DO_READDIRPLUS | fuse::INIT_READDIRPLUS_AUTO |
                            fuse::INIT_PARALLEL_DIROPS | fuse::INIT_MAX_PAGES | fuse::INIT_CACHE_SYMLINKS |
                            fuse::INIT_EXPLICIT_INVAL_DATA | fuse::INIT_EXT | fuse::INIT_HAS_RESEND |
                            fuse::INIT_ALLOW_IDMAP;
/** Read-ahead requests in flight. Those that wait for the network must not keep the others out of the queue. */
constexpr uint16_t BACKGROUND_MAX = 1024;
constexpr uint16_t CONGESTION_THRESHOLD = 768;
constexpr uint32_t PAGE = 4096;

}  // namespace

template <typename T>
bool FuseDispatcher::Request::load(T& value) const {
  if (body.size() < sizeof value) return false;
  std::memcpy(&value, body.data(), sizeof value);
  return true;
}

std::string_view FuseDispatcher::Request::text(size_t offset) const {
  if (offset >= body.size()) return {};
  const std::span<const uint8_t> rest = body.subspan(offset);
  const auto end = std::find(rest.begin(), rest.end(), uint8_t{0});
  return {reinterpret_cast<const char*>(rest.data()), static_cast<size_t>(end - rest.begin())};
}

void FuseDispatcher::handle(const std::shared_ptr<FuseSession>& session, std::span<const uint8_t> bytes) const {
  fuse::InHeader header;
  if (bytes.size() < sizeof header) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  try {
    dispatch({session, header, bytes.subspan(sizeof header)});
  } catch (...) {
    // Handlers answer as their last step: what threw has not answered.
    session->replyError(header.unique, EIO);
  }
}

void FuseDispatcher::dispatch(const Request& request) const {
  count(request.header.opcode);
  switch (request.header.opcode) {
    case fuse::INIT: return initialise(request);
    case fuse::LOOKUP: return lookup(request);
    case fuse::GETATTR: return attributes(request);
    case fuse::READLINK: return readLink(request);
    case fuse::OPENDIR: return openDirectory(request);
    case fuse::READ: return read(request);
    case fuse::READDIR: return list(request, false);
    case fuse::READDIRPLUS: return list(request, true);
    case fuse::STATFS: return statistics(request);
    case fuse::GETXATTR: return xattr(request);
    case fuse::LISTXATTR: return xattrNames(request);
    case fuse::INTERRUPT: return interrupt(request);
    case fuse::FORGET:
    case fuse::BATCH_FORGET: return;  // has no answer, and nothing is remembered
    case fuse::RELEASE:
    case fuse::RELEASEDIR:
    case fuse::DESTROY: return request.fail(0);
    case fuse::SETATTR:
    case fuse::SYMLINK:
    case fuse::MKNOD:
    case fuse::MKDIR:
    case fuse::UNLINK:
    case fuse::RMDIR:
    case fuse::RENAME:
    case fuse::RENAME2:
    case fuse::LINK:
    case fuse::WRITE:
    case fuse::SETXATTR:
    case fuse::REMOVEXATTR:
    case fuse::CREATE:
    case fuse::TMPFILE:
    case fuse::FALLOCATE:
    case fuse::COPY_FILE_RANGE: return request.fail(EROFS);
    // Among them OPEN: the kernel then opens files by itself, with the page cache kept, for the rest of the mount.
    default: return request.fail(ENOSYS);
  }
}

void FuseDispatcher::count(uint32_t opcode) const {
  switch (opcode) {
    case fuse::LOOKUP: return Stats::add(stats_.lookups);
    case fuse::GETATTR: return Stats::add(stats_.getattrs);
    case fuse::OPEN:
    case fuse::OPENDIR: return Stats::add(stats_.opens);
    case fuse::READ: return Stats::add(stats_.reads);
    case fuse::READDIR:
    case fuse::READDIRPLUS: return Stats::add(stats_.readdirs);
    case fuse::GETXATTR:
    case fuse::LISTXATTR: return Stats::add(stats_.xattrs);
    default: return Stats::add(stats_.others);
  }
}

void FuseDispatcher::initialise(const Request& request) const {
  fuse::InitIn in;
  if (!request.load(in)) return request.fail(EINVAL);
  fuse::InitOut out{};
  out.major = fuse::MAJOR;
  out.minor = std::min(in.minor, fuse::MINOR_MAX);
  // A newer major asks again with ours; an older one, or an old minor, is Linux before 5.4.
  if (in.major > fuse::MAJOR) return request.session->replyWith(request.header.unique, out);
  if (in.major < fuse::MAJOR || in.minor < fuse::MINOR_MIN) return request.fail(EPROTO);
  uint64_t offered = in.flags;
  uint32_t flags2 = 0;
  if ((offered & fuse::INIT_EXT) != 0 && request.body.size() >= sizeof in + sizeof flags2) {
    std::memcpy(&flags2, request.body.data() + sizeof in, sizeof flags2);
    offered |= static_cast<uint64_t>(flags2) << 32;
  }
  // ACLs are attributes: where there are none, the kernel need not ask for them.
  const uint64_t agreed = offered & (WANTED | (request.files().hasXattrs() ? fuse::INIT_POSIX_ACL : 0));
  out.maxReadahead = in.maxReadahead;
  out.flags = static_cast<uint32_t>(agreed);
  out.flags2 = static_cast<uint32_t>(agreed >> 32);
  out.maxBackground = BACKGROUND_MAX;
  out.congestionThreshold = CONGESTION_THRESHOLD;
  out.maxWrite = READ_MAX;
  out.timeGranularity = 1;
  out.maxPages = READ_MAX / PAGE;
  request.session->replyWith(request.header.unique, out);
}

void FuseDispatcher::lookup(const Request& request) const {
  fuse::EntryOut entry{};
  const int error = request.files().lookup(request.header.node, request.text(0), entry);
  if (error == ENOENT && !request.files().isGrowing()) {
    // Node 0 is an absence that the kernel may keep.
    entry = foreverEntry(0, {});
  } else if (error != 0) {
    return request.fail(error);
  }
  request.session->replyWith(request.header.unique, entry);
}

void FuseDispatcher::attributes(const Request& request) const {
  fuse::AttributesOut out{};
  out.valid = fuse::FOREVER;
  const int error = request.files().attributes(request.header.node, out.attributes);
  if (error != 0) return request.fail(error);
  request.session->replyWith(request.header.unique, out);
}

void FuseDispatcher::readLink(const Request& request) const {
  std::span<const uint8_t> target;
  const int error = request.files().readLink(request.header.node, target);
  if (error != 0) return request.fail(error);
  request.session->reply(request.header.unique, target);
}

void FuseDispatcher::openDirectory(const Request& request) const {
  // As with OPEN; the kernel also caches the listing then.
  if (!request.files().isGrowing()) return request.fail(ENOSYS);
  request.session->replyWith(request.header.unique, fuse::OpenOut{});
}

void FuseDispatcher::read(const Request& request) const {
  fuse::ReadIn in;
  if (!request.load(in) || in.size > READ_MAX) return request.fail(EINVAL);
  thread_local std::vector<Segment> segments;
  segments.clear();
  std::shared_ptr<Layer> layer;
  const int error = request.files().content(request.header.node, in.offset, in.size, segments, layer);
  if (error != 0) {
    Stats::add(stats_.failedReads);
    return request.fail(error);
  }
  if (segments.empty()) return request.fail(0);
  reads_.serve({request.session, request.header.unique, static_cast<pid_t>(request.header.pid)}, layer, segments);
}

void FuseDispatcher::list(const Request& request, bool withEntries) const {
  fuse::ReadIn in;
  if (!request.load(in)) return request.fail(EINVAL);
  thread_local const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(READ_MAX);
  DirectoryWriter writer({buffer.get(), std::min<size_t>(in.size, READ_MAX)}, withEntries);
  const int error = request.files().list(request.header.node, in.offset, writer);
  if (error != 0) return request.fail(error);
  request.session->reply(request.header.unique, writer.written());
}

void FuseDispatcher::statistics(const Request& request) const {
  fuse::StatfsOut out{};
  const int error = request.files().statistics(out);
  if (error != 0) return request.fail(error);
  request.session->replyWith(request.header.unique, out);
}

void FuseDispatcher::xattr(const Request& request) const {
  // ENOSYS ends all questions of this kind for the rest of the mount: overlayfs and exec ask for every file. Lists of
  // names are rare, and have to be empty, not refused.
  if (!request.files().hasXattrs()) return request.fail(ENOSYS);
  fuse::XattrIn in;
  if (!request.load(in)) return request.fail(EINVAL);
  std::vector<uint8_t> value;
  const int error = request.files().xattr(request.header.node, request.text(sizeof in), value);
  if (error != 0) return request.fail(error);
  answerXattr(request, in.size, value);
}

void FuseDispatcher::xattrNames(const Request& request) const {
  fuse::XattrIn in;
  if (!request.load(in)) return request.fail(EINVAL);
  std::vector<uint8_t> names;
  const int error = request.files().xattrNames(request.header.node, names);
  if (error != 0) return request.fail(error);
  answerXattr(request, in.size, names);
}

void FuseDispatcher::answerXattr(const Request& request, uint32_t size, std::span<const uint8_t> value) const {
  if (size == 0) return request.session->replyWith(request.header.unique, fuse::XattrOut{static_cast<uint32_t>(value.size()), 0});
  if (value.size() > size) return request.fail(ERANGE);
  request.session->reply(request.header.unique, value);
}

void FuseDispatcher::interrupt(const Request& request) const {
  fuse::InterruptIn in;
  if (!request.load(in)) return request.fail(EINVAL);
  // A read that is not known may be in the hands of another thread, on its way to wait: the kernel asks again, and stops
  // when the read has its answer.
  if (!reads_.interrupt(request.session, in.unique)) request.fail(EAGAIN);
}

}  // namespace lazuli
