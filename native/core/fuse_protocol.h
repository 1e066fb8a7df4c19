#pragma once

#include <cstddef>
#include <cstdint>

/**
 * The FUSE wire protocol as this server speaks it (7.31 to 7.45), written by hand because the kernel's installed
 * header is older than the kernel. Native byte order.
 */
namespace lazuli::fuse {

inline constexpr uint32_t MAJOR = 7;
inline constexpr uint32_t MINOR_MIN = 31;
inline constexpr uint32_t MINOR_MAX = 45;
inline constexpr uint64_t ROOT_NODE = 1;
/** As a timeout: for ever. */
inline constexpr uint64_t FOREVER = UINT64_MAX;

enum Opcode : uint32_t {
  LOOKUP = 1,
  FORGET = 2,
  GETATTR = 3,
  SETATTR = 4,
  READLINK = 5,
  SYMLINK = 6,
  MKNOD = 8,
  MKDIR = 9,
  UNLINK = 10,
  RMDIR = 11,
  RENAME = 12,
  LINK = 13,
  OPEN = 14,
  READ = 15,
  WRITE = 16,
  STATFS = 17,
  RELEASE = 18,
  SETXATTR = 21,
  GETXATTR = 22,
  LISTXATTR = 23,
  REMOVEXATTR = 24,
  INIT = 26,
  OPENDIR = 27,
  READDIR = 28,
  RELEASEDIR = 29,
  CREATE = 35,
  INTERRUPT = 36,
  DESTROY = 38,
  BATCH_FORGET = 42,
  FALLOCATE = 43,
  READDIRPLUS = 44,
  RENAME2 = 45,
  COPY_FILE_RANGE = 47,
  TMPFILE = 51,
};

inline constexpr uint64_t INIT_ASYNC_READ = 1ULL << 0;
inline constexpr uint64_t INIT_DO_READDIRPLUS = 1ULL << 13;
inline constexpr uint64_t INIT_READDIRPLUS_AUTO = 1ULL << 14;
inline constexpr uint64_t INIT_PARALLEL_DIROPS = 1ULL << 18;
inline constexpr uint64_t INIT_POSIX_ACL = 1ULL << 20;
inline constexpr uint64_t INIT_MAX_PAGES = 1ULL << 22;
inline constexpr uint64_t INIT_CACHE_SYMLINKS = 1ULL << 23;
inline constexpr uint64_t INIT_EXPLICIT_INVAL_DATA = 1ULL << 25;
inline constexpr uint64_t INIT_EXT = 1ULL << 30;
inline constexpr uint64_t INIT_HAS_RESEND = 1ULL << 39;
inline constexpr uint64_t INIT_ALLOW_IDMAP = 1ULL << 40;

inline constexpr uint32_t OPEN_KEEP_CACHE = 1U << 1;
inline constexpr int32_t NOTIFY_RESEND = 7;

struct InHeader {
  uint32_t length;
  uint32_t opcode;
  uint64_t unique;
  uint64_t node;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint16_t extensionLength;
  uint16_t padding;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t length;
  int32_t error;
  uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16);

struct InitIn {
  uint32_t major;
  uint32_t minor;
  uint32_t maxReadahead;
  uint32_t flags;
};

struct InitOut {
  uint32_t major;
  uint32_t minor;
  uint32_t maxReadahead;
  uint32_t flags;
  uint16_t maxBackground;
  uint16_t congestionThreshold;
  uint32_t maxWrite;
  uint32_t timeGranularity;
  uint16_t maxPages;
  uint16_t mapAlignment;
  uint32_t flags2;
  uint32_t maxStackDepth;
  uint16_t requestTimeout;
  uint16_t unused[11];
};
static_assert(sizeof(InitOut) == 64);

struct Attributes {
  uint64_t inode;
  uint64_t size;
  uint64_t blocks;
  uint64_t accessSeconds;
  uint64_t modifySeconds;
  uint64_t changeSeconds;
  uint32_t accessNanoseconds;
  uint32_t modifyNanoseconds;
  uint32_t changeNanoseconds;
  uint32_t mode;
  uint32_t links;
  uint32_t uid;
  uint32_t gid;
  uint32_t device;
  uint32_t blockSize;
  uint32_t flags;
};
static_assert(sizeof(Attributes) == 88);

struct EntryOut {
  uint64_t node;
  uint64_t generation;
  uint64_t entryValid;
  uint64_t attributesValid;
  uint32_t entryValidNanoseconds;
  uint32_t attributesValidNanoseconds;
  Attributes attributes;
};
static_assert(sizeof(EntryOut) == 128);

struct AttributesOut {
  uint64_t valid;
  uint32_t validNanoseconds;
  uint32_t padding;
  Attributes attributes;
};
static_assert(sizeof(AttributesOut) == 104);

struct OpenOut {
  uint64_t handle;
  uint32_t flags;
  int32_t backing;
};

struct ReadIn {
  uint64_t handle;
  uint64_t offset;
  uint32_t size;
  uint32_t readFlags;
  uint64_t lockOwner;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(ReadIn) == 40);

/** Followed by the name, padded to 8 bytes. */
struct Dirent {
  uint64_t inode;
  uint64_t next;
  uint32_t nameLength;
  uint32_t type;
};
static_assert(sizeof(Dirent) == 24);

struct XattrIn {
  uint32_t size;
  uint32_t padding;
};

struct XattrOut {
  uint32_t size;
  uint32_t padding;
};

struct StatfsOut {
  uint64_t blocks;
  uint64_t blocksFree;
  uint64_t blocksAvailable;
  uint64_t files;
  uint64_t filesFree;
  uint32_t blockSize;
  uint32_t nameLengthMax;
  uint32_t fragmentSize;
  uint32_t padding;
  uint32_t spare[6];
};
static_assert(sizeof(StatfsOut) == 80);

struct InterruptIn {
  uint64_t unique;
};

}  // namespace lazuli::fuse
