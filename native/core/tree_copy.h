#pragma once

#include <string>

#include "folder_walk.h"

namespace lazuli {

/**
 * Copies a tree to a new folder: content with its holes, hard links, devices, modes, owners, times, extended attributes,
 * names as bytes. The source must not change meanwhile. What is made is left where it fails or is cancelled.
 * @throws SystemCallError: EEXIST where the target is, ECANCELED, EXDEV where something is mounted in the source
 */
void copyTree(const std::string& source, const std::string& target, const CancelFlag& isCancelled);

}  // namespace lazuli
