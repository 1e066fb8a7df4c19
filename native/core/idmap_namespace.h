#pragma once

#include <string>

#include "file_descriptor.h"

namespace lazuli {

/**
 * A user namespace with these maps (text as in /proc/<pid>/uid_map) and no process in it: an idmapped mount takes its
 * maps. It goes with its last descriptor and its last mount. @throws SystemCallError
 */
FileDescriptor makeUserNamespace(const std::string& uidMap, const std::string& gidMap);

}  // namespace lazuli
