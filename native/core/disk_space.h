#pragma once

#include <cstdint>

namespace lazuli {

/** Blocks of a file that punching counts in: those of all file systems that hold data files, or a multiple. */
inline constexpr uint64_t PUNCH_BLOCK = 4096;

/** Bytes of the disk that a file holds, with those that are still to be written. Throws std::system_error. */
uint64_t bytesOnDisk(int fd);

/** Makes a hole of whole blocks; the file keeps its length. Returns 0 or an errno. */
int punchHole(int fd, uint64_t from, uint64_t to);

/**
 * Whether the file is open by anything but this description of it: by another, or by the kernel for a mount that lies on
 * it, even one that was detached and lives on below an overlay. Asks for a write lease, which only the one user of a file
 * gets; where it can't be had for another reason the answer is yes.
 */
bool isOpenElsewhere(int fd);

}  // namespace lazuli
