#pragma once

#include <cstdint>
#include <string>

#include "file_descriptor.h"

namespace lazuli {

/**
 * Connects to a port of localhost, by IPv4 and then by IPv6, in the network namespace that a path names; "" is our own.
 * The socket is non-blocking.
 * @throws SystemCallError: ECONNREFUSED, ETIMEDOUT after 3 s for each family; EINVAL where the path is no such namespace
 */
FileDescriptor connectInNamespace(const std::string& namespacePath, uint16_t port);

}  // namespace lazuli
