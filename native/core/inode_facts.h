#pragma once

#include <string>

#include "layer_entry.h"

namespace lazuli {

/**
 * Gives an open file or folder what its entry says: a new owner takes set-uid bits and capabilities away, so that it comes
 * first, and times last. Attributes that a file system or a kind of file can't have are left out, as containerd leaves
 * them out. @throws SystemCallError
 */
void setEntryFacts(int file, const LayerEntry& entry);

/** The same for what can't be opened; a link is not followed. */
void setNamedFacts(int parent, const std::string& name, const LayerEntry& entry);

/** Copies all attributes but `trusted.` ones, which the target does not have yet. @throws SystemCallError */
void copyPlainXattrs(int source, int target);

}  // namespace lazuli
