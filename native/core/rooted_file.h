#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lazuli {

/**
 * The content of a regular file below a root that is a stranger's: links lead inside the root. Nothing where there is no
 * such file, or another kind of one, or one with more than `bytesMax`.
 * @throws SystemCallError
 */
std::optional<std::vector<uint8_t>> readRootedFile(const std::string& root, const std::string& path, size_t bytesMax);

}  // namespace lazuli
