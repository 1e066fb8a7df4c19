#pragma once

#include <string>

#include "file_descriptor.h"

namespace lazuli {

/** A loop device on a file. The kernel takes it apart when the descriptor is closed and nothing is mounted from it. */
struct LoopDevice {
  FileDescriptor fd;
  std::string path;
};

/** @throws SystemCallError */
LoopDevice attachLoop(const std::string& file, bool isReadOnly);

/** Whether the kernel takes the open device apart once nobody has it open or mounted. @throws SystemCallError */
void setLoopAutoclear(int device, bool isOn);

}  // namespace lazuli
