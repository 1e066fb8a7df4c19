#pragma once

#include <string>

namespace lazuli {

/**
 * Deletes a folder and all below it, however deep and whatever its names are. Nothing there is fine, and so is another
 * call that does the same. @throws SystemCallError: EXDEV or EBUSY where something is mounted
 */
void removeTree(const std::string& root);

}  // namespace lazuli
