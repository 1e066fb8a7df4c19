#include "mount_loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <utility>

#include "syscalls.h"

namespace lazuli {
namespace {

/** Others look for a free device too, and may be faster this often. */
constexpr int TRIES_MAX = 64;

}  // namespace

LoopDevice attachLoop(const std::string& file, bool isReadOnly) {
  const int access = isReadOnly ? O_RDONLY : O_RDWR;
  const FileDescriptor backing(open(file.c_str(), access | O_CLOEXEC));
  if (!backing) throw SystemCallError(errno, "open", file);
  const FileDescriptor control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) throw SystemCallError(errno, "open", "/dev/loop-control");
  for (int tries = 0; tries < TRIES_MAX; tries++) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) throw SystemCallError(errno, "ioctl", "LOOP_CTL_GET_FREE");
    LoopDevice device{FileDescriptor(), "/dev/loop" + std::to_string(number)};
    device.fd = FileDescriptor(open(device.path.c_str(), access | O_CLOEXEC));
    if (!device.fd) throw SystemCallError(errno, "open", device.path);
    loop_config config{};
    config.fd = static_cast<__u32>(backing.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (isReadOnly ? LO_FLAGS_READ_ONLY : 0);
    if (ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY) throw SystemCallError(errno, "ioctl", "LOOP_CONFIGURE " + device.path);
  }
  throw SystemCallError(EBUSY, "ioctl", "LOOP_CONFIGURE");
}

void setLoopAutoclear(int device, bool isOn) {
  loop_info64 info{};
  if (ioctl(device, LOOP_GET_STATUS64, &info) != 0) throw SystemCallError(errno, "ioctl", "LOOP_GET_STATUS64");
  const __u32 flag = LO_FLAGS_AUTOCLEAR;
  info.lo_flags = isOn ? info.lo_flags | flag : info.lo_flags & ~flag;
  if (ioctl(device, LOOP_SET_STATUS64, &info) != 0) throw SystemCallError(errno, "ioctl", "LOOP_SET_STATUS64");
}

}  // namespace lazuli
