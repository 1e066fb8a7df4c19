// Holds descriptors of /dev/fuse for a daemon that may die, and does nothing else: while they are open, the kernel keeps
// the mounts, and readers wait instead of failing.
//
//     lazuli-keeper FOLDER      the folder is there, private; the socket is FOLDER/keeper.sock
//
// A connection carries one request: op, length of the name, length of the facts (2 bytes, native order), name, facts.
//   P  keep the descriptor that comes along under this name    answer: errno, one byte
//   D  drop it                                                 answer: errno, one byte
//   T  give all                                                answer: for each 1, lengths, name, facts, with its
//                                                              descriptor; then 0. They stay here too.
//   L  the same without the descriptors
//   W  nothing: the connection stays open for as long as both sides live
//   Q  end                                                     answer: errno, one byte
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

/** One a mounted layer on kernels without EROFS over FUSE; a further one is refused (ENOSPC). */
constexpr int HELD_MAX = 4096;
constexpr int NAME_MAX_BYTES = 96;
constexpr int FACTS_MAX_BYTES = 128;
/** A further connection is closed at once. */
constexpr int CONNECTIONS_MAX = 64;
constexpr int HEADER_BYTES = 4;
constexpr int FRAME_MAX = HEADER_BYTES + NAME_MAX_BYTES + FACTS_MAX_BYTES;
/** It ends when it held nothing, for nobody, for so long. */
constexpr int64_t IDLE_MS = 60'000;
/** A client that does not take its answer is given up after this. */
constexpr timeval SEND_WAIT{1, 0};
constexpr char SOCKET_NAME[] = "keeper.sock";

struct Held {
  int fd = -1;
  uint8_t nameLength = 0;
  uint8_t factsLength = 0;
  char name[NAME_MAX_BYTES];
  char facts[FACTS_MAX_BYTES];
};

struct Request {
  char op = 0;
  uint8_t nameLength = 0;
  uint16_t factsLength = 0;
  const char* name = nullptr;
  const char* facts = nullptr;
  int fd = -1;
};

struct Connection {
  int fd = -1;
  bool isWatching = false;
};

Held held[HELD_MAX];
Connection connections[CONNECTIONS_MAX];
int heldCount = 0;
volatile sig_atomic_t isEnding = 0;

int64_t nowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

/** Only the machine's shutdown ends us: what is meant for the daemon and its group does not. */
void onTerminate(int, siginfo_t* info, void*) {
  if (info->si_pid == 1) isEnding = 1;
}

Held* find(const Request& request) {
  for (Held& entry : held) {
    if (entry.fd >= 0 && entry.nameLength == request.nameLength &&
        memcmp(entry.name, request.name, request.nameLength) == 0) {
      return &entry;
    }
  }
  return nullptr;
}

int keep(Request& request) {
  if (request.fd < 0) return EBADF;
  if (request.nameLength == 0) return EINVAL;
  Held* place = find(request);
  if (place == nullptr) {
    for (Held& entry : held) {
      if (entry.fd < 0) {
        place = &entry;
        break;
      }
    }
    if (place == nullptr) return ENOSPC;
    heldCount++;
  } else {
    close(place->fd);
  }
  place->fd = request.fd;
  request.fd = -1;
  place->nameLength = request.nameLength;
  place->factsLength = static_cast<uint8_t>(request.factsLength);
  memcpy(place->name, request.name, request.nameLength);
  memcpy(place->facts, request.facts, request.factsLength);
  return 0;
}

int drop(const Request& request) {
  Held* entry = find(request);
  if (entry == nullptr) return ENOENT;
  close(entry->fd);
  entry->fd = -1;
  heldCount--;
  return 0;
}

bool sendFrame(int socket, const void* bytes, size_t length, int fd) {
  iovec piece{const_cast<void*>(bytes), length};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(length);
}

void giveAll(int socket, bool withDescriptors) {
  for (const Held& entry : held) {
    if (entry.fd < 0) continue;
    uint8_t frame[FRAME_MAX];
    const uint16_t factsLength = entry.factsLength;
    frame[0] = 1;
    frame[1] = entry.nameLength;
    memcpy(frame + 2, &factsLength, sizeof factsLength);
    memcpy(frame + HEADER_BYTES, entry.name, entry.nameLength);
    memcpy(frame + HEADER_BYTES + entry.nameLength, entry.facts, factsLength);
    const size_t length = HEADER_BYTES + entry.nameLength + size_t{factsLength};
    if (!sendFrame(socket, frame, length, withDescriptors ? entry.fd : -1)) return;
  }
  const uint8_t end = 0;
  sendFrame(socket, &end, sizeof end, -1);
}

/** The only descriptor of a message; -1, and all of them closed, where there are more. */
int takeDescriptor(msghdr& message) {
  int only = -1;
  bool isOne = true;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < count; index++) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(part) + index * sizeof fd, sizeof fd);
      if (only >= 0) {
        isOne = false;
        close(fd);
      } else {
        only = fd;
      }
    }
  }
  if (isOne || only < 0) return only;
  close(only);
  return -1;
}

/** False for what is no whole request. A descriptor that came along is in `request` even then. */
bool receive(int socket, uint8_t (&bytes)[FRAME_MAX], Request& request) {
  iovec piece{bytes, sizeof bytes};
  // Room for one, which alignment makes two; the kernel drops what more there is.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (length < 0) return false;
  request.fd = takeDescriptor(message);
  if (length < HEADER_BYTES || (message.msg_flags & MSG_CTRUNC) != 0) return false;
  request.op = static_cast<char>(bytes[0]);
  request.nameLength = bytes[1];
  memcpy(&request.factsLength, bytes + 2, sizeof request.factsLength);
  if (request.nameLength > NAME_MAX_BYTES || request.factsLength > FACTS_MAX_BYTES) return false;
  if (length != HEADER_BYTES + request.nameLength + request.factsLength) return false;
  request.name = reinterpret_cast<const char*>(bytes) + HEADER_BYTES;
  request.facts = request.name + request.nameLength;
  return true;
}

void hangUp(Connection& connection) {
  close(connection.fd);
  connection = Connection{};
}

void serve(Connection& connection) {
  uint8_t bytes[FRAME_MAX];
  Request request;
  // A watcher has nothing more to say: it hung up.
  const bool isWhole = !connection.isWatching && receive(connection.fd, bytes, request);
  if (isWhole && request.op == 'W') {
    connection.isWatching = true;
  } else {
    uint8_t answer = EINVAL;
    if (isWhole && (request.op == 'T' || request.op == 'L')) {
      giveAll(connection.fd, request.op == 'T');
    } else if (isWhole) {
      if (request.op == 'P') answer = static_cast<uint8_t>(keep(request));
      if (request.op == 'D') answer = static_cast<uint8_t>(drop(request));
      if (request.op == 'Q') {
        answer = 0;
        isEnding = 1;
      }
      sendFrame(connection.fd, &answer, sizeof answer, -1);
    }
    hangUp(connection);
  }
  if (request.fd >= 0) close(request.fd);
}

void welcome(int listener) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  ucred peer{};
  socklen_t length = sizeof peer;
  const bool isOurs = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid();
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &SEND_WAIT, sizeof SEND_WAIT);
  if (isOurs) {
    for (Connection& place : connections) {
      if (place.fd >= 0) continue;
      place.fd = fd;
      return;
    }
  }
  close(fd);
}

/** Somebody removed the socket, mostly with all of the daemon's state: nobody can ask for anything any more. */
bool isSocketGone(const struct stat& own) {
  struct stat now{};
  return lstat(SOCKET_NAME, &now) != 0 || now.st_ino != own.st_ino || now.st_dev != own.st_dev;
}

void run(int listener, int changes, const struct stat& own) {
  int64_t idleSince = nowMs();
  while (isEnding == 0) {
    pollfd waits[2 + CONNECTIONS_MAX];
    waits[0] = {listener, POLLIN, 0};
    waits[1] = {changes, POLLIN, 0};
    bool isIdle = heldCount == 0;
    for (int index = 0; index < CONNECTIONS_MAX; index++) {
      // poll() passes over -1.
      waits[2 + index] = {connections[index].fd, POLLIN, 0};
      if (connections[index].fd >= 0) isIdle = false;
    }
    const int64_t now = nowMs();
    if (!isIdle) idleSince = now;
    const int64_t left = idleSince + IDLE_MS - now;
    if (left <= 0) return;
    if (poll(waits, 2 + CONNECTIONS_MAX, isIdle ? static_cast<int>(left) : -1) < 0) continue;
    for (int index = 0; index < CONNECTIONS_MAX; index++) {
      if (waits[2 + index].revents != 0) serve(connections[index]);
    }
    if (waits[0].revents != 0) welcome(listener);
    if (waits[1].revents != 0) {
      alignas(inotify_event) char ignored[4096];
      while (read(changes, ignored, sizeof ignored) > 0) {
      }
      if (isSocketGone(own)) return;
    }
  }
}

bool handleSignals() {
  struct sigaction action = {};
  action.sa_sigaction = onTerminate;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGTERM, &action, nullptr) != 0) return false;
  for (const int ignored : {SIGINT, SIGHUP, SIGPIPE, SIGQUIT, SIGUSR1, SIGUSR2}) signal(ignored, SIG_IGN);
  return true;
}

/** Where it is not allowed, the memory killer treats us as our parent; we are the smallest process there is. */
void leaveOutOfMemoryAlone() {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t written = write(fd, "-1000", 5);
  close(fd);
}

int listenHere() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, SOCKET_NAME, sizeof SOCKET_NAME);
  unlink(SOCKET_NAME);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
  return listen(fd, CONNECTIONS_MAX) == 0 ? fd : -1;
}

}  // namespace

int main(int count, char** words) {
  if (count != 2 || chdir(words[1]) != 0) return 2;
  setsid();
  umask(0077);
  close_range(3, ~0U, 0);
  if (!handleSignals()) return 1;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  leaveOutOfMemoryAlone();
  // Held to the end of the process: of two that were started at once, one stays.
  const int lock = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) return 0;
  const int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (changes < 0 || inotify_add_watch(changes, ".", IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF) < 0) return 1;
  const int listener = listenHere();
  struct stat own{};
  if (listener < 0 || lstat(SOCKET_NAME, &own) != 0) return 1;
  run(listener, changes, own);
  // Nobody may find a socket that nobody answers; another one that took our place stays.
  if (!isSocketGone(own)) unlink(SOCKET_NAME);
  return 0;
}
