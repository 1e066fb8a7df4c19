#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "folder_walk.h"

namespace lazuli {

/**
 * Writes an archive to a file: the bytes of each record as they are, and behind them the content of the file that it
 * names below `root`, padded to blocks of 512 bytes.
 * Records: bytes (text), path (text, "" for none), size (64 bits), which is what the file must have.
 * @throws SystemCallError: ESTALE where a file has fewer bytes by now; std::invalid_argument
 */
void assembleArchive(const std::string& root, std::span<const uint8_t> records, int archive,
                     const CancelFlag& isCancelled);

}  // namespace lazuli
