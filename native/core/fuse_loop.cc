#include "fuse_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <system_error>

namespace lazuli {
namespace {

/** Session ids begin at 1. */
constexpr uint64_t WAKE_ID = 0;
/** Requests of one session that a thread takes before it looks at the others. */
constexpr int TURN = 16;
/** A descriptor can't be waited for before it is mounted: until then it is tried this often. */
constexpr int MOUNT_POLL_MS = 2;

FileDescriptor checked(int fd, const char* call) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), call);
  return FileDescriptor(fd);
}

}  // namespace

FuseLoop::FuseLoop(size_t threads, const FuseDispatcher& dispatcher)
    : dispatcher_(dispatcher),
      epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = WAKE_ID;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  for (size_t index = 0; index < threads; index++) {
    threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "lazuli-fuse");
      run();
    });
  }
}

FuseLoop::~FuseLoop() {
  stop();
}

void FuseLoop::add(const std::shared_ptr<FuseSession>& session) {
  const std::unique_lock lock(mutex_);
  sessions_[session->id()] = {session, false};
  unmounted_.fetch_add(1);
  wake();
}

std::shared_ptr<FuseSession> FuseLoop::remove(uint32_t id) {
  const std::unique_lock lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return nullptr;
  const Entry entry = found->second;
  sessions_.erase(found);
  if (entry.isWatched) unwatch(*entry.session);
  else unmounted_.fetch_sub(1);
  return entry.session;
}

void FuseLoop::stop() {
  if (isStopped_.exchange(true)) return;
  wake();
  for (std::thread& thread : threads_) thread.join();
  const std::unique_lock lock(mutex_);
  sessions_.clear();
}

void FuseLoop::run() {
  const auto memory = std::make_unique_for_overwrite<uint8_t[]>(FuseDispatcher::REQUEST_MAX);
  const std::span<uint8_t> buffer(memory.get(), FuseDispatcher::REQUEST_MAX);
  for (;;) {
    epoll_event event;
    const int count = epoll_wait(epoll_.get(), &event, 1, unmounted_.load() > 0 ? MOUNT_POLL_MS : -1);
    // Once stopped, the wake-up stays readable, for every thread.
    if (isStopped_.load()) return;
    if (count > 0 && event.data.u64 == WAKE_ID) {
      uint64_t ignored;
      while (read(wake_.get(), &ignored, sizeof ignored) < 0 && errno == EINTR) {
      }
    } else if (count > 0) {
      serve(static_cast<uint32_t>(event.data.u64), buffer);
    }
    if (unmounted_.load() > 0) attachMounted(buffer);
  }
}

void FuseLoop::serve(uint32_t id, std::span<uint8_t> buffer) {
  std::shared_ptr<FuseSession> session;
  {
    const std::shared_lock lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    session = found->second.session;
  }
  // A connection that ended would be reported for ever.
  if (serveSome(session, buffer) == Served::gone) unwatch(*session);
}

void FuseLoop::attachMounted(std::span<uint8_t> buffer) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  for (auto& [id, entry] : sessions_) {
    if (entry.isWatched || serveSome(entry.session, buffer) == Served::notMounted) continue;
    entry.isWatched = true;
    unmounted_.fetch_sub(1);
    watch(*entry.session);
  }
}

FuseLoop::Served FuseLoop::serveSome(const std::shared_ptr<FuseSession>& session, std::span<uint8_t> buffer) const {
  for (int turn = 0; turn < TURN; turn++) {
    const ssize_t length = read(session->fd(), buffer.data(), buffer.size());
    if (length >= 0) {
      dispatcher_.handle(session, buffer.first(static_cast<size_t>(length)));
      continue;
    }
    switch (errno) {
      case EINTR:
      case ENOENT: continue;  // the request was withdrawn while it was read
      case EAGAIN: return Served::drained;
      case EPERM: return Served::notMounted;
      default: return Served::gone;
    }
  }
  return Served::more;
}

void FuseLoop::watch(const FuseSession& session) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = session.id();
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, session.fd(), &event);
}

void FuseLoop::unwatch(const FuseSession& session) const {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session.fd(), nullptr);
}

void FuseLoop::wake() const {
  const uint64_t one = 1;
  while (write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

}  // namespace lazuli
