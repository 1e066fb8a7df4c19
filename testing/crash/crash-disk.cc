// A disk that remembers: a FUSE with one file, "disk", which keeps every write, flush and discard in a log before it
// answers. Under a loop device it tells what a file system wrote in which order, and what was flushed by when.
//
//     crash-disk IMAGE LOG MOUNT_POINT
//
// It prints "ready" when the file is there, and ends when the mount is taken away. One thread: the order of the log is
// the order of the answers. A record of the log is a header, then the bytes of a write.
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

constexpr uint32_t kMagic = 0x4b534443;
constexpr uint32_t kWrite = 1;
constexpr uint32_t kFlush = 2;
constexpr uint32_t kDiscard = 3;
constexpr uint64_t kDiskNode = 2;
constexpr uint32_t kMaxWriteBytes = 1 << 20;

struct RecordHeader {
  uint32_t magic;
  uint32_t type;
  uint64_t offset;
  uint64_t length;
};

class Disk {
 public:
  Disk(int image, int log, int fuse) : image_(image), log_(log), fuse_(fuse) {}

  int Serve() {
    std::vector<char> request(kMaxWriteBytes + 65536);
    for (;;) {
      const ssize_t length = read(fuse_, request.data(), request.size());
      if (length < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
      if (length < 0) return errno == ENODEV ? 0 : 1;
      const auto* header = reinterpret_cast<const fuse_in_header*>(request.data());
      Handle(*header, request.data() + sizeof *header);
    }
  }

 private:
  void Handle(const fuse_in_header& header, const char* body) {
    switch (header.opcode) {
      case FUSE_INIT: return Init(header, *reinterpret_cast<const fuse_init_in*>(body));
      case FUSE_LOOKUP: return Lookup(header, body);
      case FUSE_GETATTR: {
        fuse_attr_out out{};
        out.attr_valid = 3600;
        out.attr = Attributes(header.nodeid);
        return Answer(header, &out, sizeof out);
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.open_flags = FOPEN_DIRECT_IO;
        return Answer(header, &out, sizeof out);
      }
      // The loop device takes the unit of its discards from here.
      case FUSE_STATFS: {
        fuse_statfs_out out{};
        out.st.bsize = out.st.frsize = 4096;
        out.st.namelen = 255;
        return Answer(header, &out, sizeof out);
      }
      case FUSE_READ: return Read(header, *reinterpret_cast<const fuse_read_in*>(body));
      case FUSE_WRITE: {
        const auto& in = *reinterpret_cast<const fuse_write_in*>(body);
        return Write(header, in, body + sizeof in);
      }
      case FUSE_FSYNC: return Status(header, Log(kFlush, 0, 0, nullptr) ? 0 : EIO);
      case FUSE_FALLOCATE: return Discard(header, *reinterpret_cast<const fuse_fallocate_in*>(body));
      case FUSE_FLUSH:
      case FUSE_RELEASE:
      case FUSE_DESTROY: return Status(header, 0);
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT: return;
      default: return Status(header, ENOSYS);
    }
  }

  void Init(const fuse_in_header& header, const fuse_init_in& in) {
    fuse_init_out out{};
    out.major = FUSE_KERNEL_VERSION;
    out.minor = in.minor < FUSE_KERNEL_MINOR_VERSION ? in.minor : FUSE_KERNEL_MINOR_VERSION;
    out.max_readahead = in.max_readahead;
    out.flags = in.flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ);
    out.max_background = 16;
    out.congestion_threshold = 12;
    out.max_write = kMaxWriteBytes;
    out.time_gran = 1;
    out.max_pages = kMaxWriteBytes / 4096;
    Answer(header, &out, sizeof out);
  }

  void Lookup(const fuse_in_header& header, const char* name) {
    if (header.nodeid != FUSE_ROOT_ID || strcmp(name, "disk") != 0) return Status(header, ENOENT);
    fuse_entry_out out{};
    out.nodeid = kDiskNode;
    out.entry_valid = 3600;
    out.attr_valid = 3600;
    out.attr = Attributes(kDiskNode);
    Answer(header, &out, sizeof out);
  }

  fuse_attr Attributes(uint64_t node) const {
    fuse_attr attributes{};
    attributes.ino = node;
    attributes.nlink = 1;
    attributes.blksize = 4096;
    attributes.mode = node == kDiskNode ? S_IFREG | 0600 : S_IFDIR | 0700;
    struct stat facts;
    if (node == kDiskNode && fstat(image_, &facts) == 0) attributes.size = static_cast<uint64_t>(facts.st_size);
    return attributes;
  }

  void Read(const fuse_in_header& header, const fuse_read_in& in) {
    buffer_.resize(in.size);
    const ssize_t got = pread(image_, buffer_.data(), in.size, static_cast<off_t>(in.offset));
    if (got < 0) return Status(header, errno);
    Answer(header, buffer_.data(), static_cast<size_t>(got));
  }

  void Write(const fuse_in_header& header, const fuse_write_in& in, const char* bytes) {
    if (!Log(kWrite, in.offset, in.size, bytes)) return Status(header, EIO);
    if (pwrite(image_, bytes, in.size, static_cast<off_t>(in.offset)) != static_cast<ssize_t>(in.size))
      return Status(header, EIO);
    fuse_write_out out{};
    out.size = in.size;
    Answer(header, &out, sizeof out);
  }

  // Whoever asks for less than the whole range to be zero afterwards is not served.
  void Discard(const fuse_in_header& header, const fuse_fallocate_in& in) {
    if ((in.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) return Status(header, EOPNOTSUPP);
    if (!Log(kDiscard, in.offset, in.length, nullptr)) return Status(header, EIO);
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const int failed = fallocate(image_, mode, static_cast<off_t>(in.offset), static_cast<off_t>(in.length));
    Status(header, failed == 0 ? 0 : errno);
  }

  // One writev: whoever looks at the log's length never sees half a record.
  bool Log(uint32_t type, uint64_t offset, uint64_t length, const char* bytes) {
    RecordHeader record{kMagic, type, offset, length};
    iovec parts[2] = {{&record, sizeof record}, {const_cast<char*>(bytes), bytes == nullptr ? 0 : length}};
    return writev(log_, parts, 2) == static_cast<ssize_t>(parts[0].iov_len + parts[1].iov_len);
  }

  void Status(const fuse_in_header& header, int error) { Send(header, error, nullptr, 0); }
  void Answer(const fuse_in_header& header, const void* body, size_t length) { Send(header, 0, body, length); }

  void Send(const fuse_in_header& header, int error, const void* body, size_t length) {
    fuse_out_header out{};
    out.len = static_cast<uint32_t>(sizeof out + length);
    out.error = -error;
    out.unique = header.unique;
    iovec parts[2] = {{&out, sizeof out}, {const_cast<void*>(body), length}};
    if (writev(fuse_, parts, 2) < 0 && errno != ENOENT) perror("crash-disk: answer");
  }

  const int image_;
  const int log_;
  const int fuse_;
  std::vector<char> buffer_;
};

}  // namespace

int main(int count, char** words) {
  if (count != 4) {
    fprintf(stderr, "usage: crash-disk IMAGE LOG MOUNT_POINT\n");
    return 2;
  }
  const int image = open(words[1], O_RDWR | O_CLOEXEC);
  const int log = open(words[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  const int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (image < 0 || log < 0 || fuse < 0) {
    perror("crash-disk: open");
    return 1;
  }
  const std::string options = "fd=" + std::to_string(fuse) + ",rootmode=40000,user_id=0,group_id=0";
  if (mount("crash-disk", words[3], "fuse.crash-disk", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    perror("crash-disk: mount");
    return 1;
  }
  puts("ready");
  fflush(stdout);
  return Disk(image, log, fuse).Serve();
}
