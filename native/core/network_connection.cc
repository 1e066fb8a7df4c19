#include "network_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <thread>

#include "syscalls.h"

namespace lazuli {
namespace {

/** A loopback answers at once, unless the listener's queue is full. */
constexpr int CONNECT_TIMEOUT_MS = 3000;

void awaitConnected(int socket) {
  pollfd waiting{socket, POLLOUT, 0};
  int ready = 0;
  do {
    ready = poll(&waiting, 1, CONNECT_TIMEOUT_MS);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) throw SystemCallError(errno, "poll");
  if (ready == 0) throw SystemCallError(ETIMEDOUT, "connect");
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) throw SystemCallError(errno, "getsockopt");
  if (error != 0) throw SystemCallError(error, "connect");
}

template <typename Address>
FileDescriptor connected(int family, const Address& address) {
  FileDescriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw SystemCallError(errno, "socket");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  if (errno != EINPROGRESS) throw SystemCallError(errno, "connect");
  awaitConnected(socket.get());
  return socket;
}

FileDescriptor connectLocal(uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  try {
    return connected(AF_INET, four);
  } catch (const SystemCallError& first) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    six.sin6_addr = in6addr_loopback;
    try {
      return connected(AF_INET6, six);
    } catch (const SystemCallError&) {
      // The first says more: a namespace without IPv6 has no address to refuse.
      throw SystemCallError(first.code().value(), first.call());
    }
  }
}

void enter(const std::string& path) {
  const FileDescriptor found(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!found) throw SystemCallError(errno, "open", path);
  if (setns(found.get(), CLONE_NEWNET) != 0) throw SystemCallError(errno, "setns", path);
}

}  // namespace

FileDescriptor connectInNamespace(const std::string& namespacePath, uint16_t port) {
  if (namespacePath.empty()) return connectLocal(port);
  FileDescriptor socket;
  std::exception_ptr failure;
  // A thread that ends with the call: none that goes on to other work stays in a pod's namespace.
  std::thread inside([&] {
    try {
      enter(namespacePath);
      socket = connectLocal(port);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  inside.join();
  if (failure) std::rethrow_exception(failure);
  return socket;
}

}  // namespace lazuli
