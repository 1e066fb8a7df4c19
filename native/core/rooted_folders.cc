#include "rooted_folders.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "syscalls.h"

namespace lazuli {
namespace {

// RESOLVE_* of openat2(2), which the headers of older distributions lack.
constexpr uint64_t NO_MAGIC_LINKS = 0x02;
constexpr uint64_t NO_LINKS = 0x04;
constexpr uint64_t IN_ROOT = 0x10;
/** Links that are followed in one path, as in containerd. */
constexpr int LINKS_MAX = 255;

std::vector<std::string_view> partsOf(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") parts.push_back(part);
    else if (!parts.empty()) parts.pop_back();
  }
  return parts;
}

}  // namespace

std::string cleanedPath(std::string_view path) {
  std::string cleaned;
  for (const std::string_view part : partsOf(path)) {
    if (!cleaned.empty()) cleaned += '/';
    cleaned += part;
  }
  return cleaned;
}

std::pair<std::string_view, std::string_view> splitPath(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string pathOfName(int folder, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(folder) + "/" + name;
}

RootedFolders::RootedFolders(const std::string& root)
    : root_(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) throw SystemCallError(errno, "open", root);
}

FileDescriptor RootedFolders::open(const std::string& truePath, int flags) const {
  const std::string path = truePath.empty() ? "." : truePath;
  return openBeneath({root_.get(), path, static_cast<uint64_t>(flags) | O_DIRECTORY, 0,
                      IN_ROOT | NO_LINKS | NO_MAGIC_LINKS});
}

bool RootedFolders::tryOpen(const std::string& path, FileDescriptor& folder) const {
  try {
    folder = open(path, O_PATH);
    return true;
  } catch (const SystemCallError& error) {
    // A link at the end is "no folder" to the kernel, and one on the way is a loop.
    const int code = error.code().value();
    if (code == ENOENT || code == ELOOP || code == ENOTDIR) return false;
    throw;
  }
}

FoundFolder RootedFolders::find(std::string_view path) const {
  FoundFolder found{FileDescriptor(), cleanedPath(path)};
  if (tryOpen(found.path, found.fd)) return found;
  found.path = resolve(path);
  found.fd = open(found.path, O_PATH);
  return found;
}

std::string RootedFolders::resolve(std::string_view start) const {
  std::string path = cleanedPath(start);
  int links = 0;
  std::string place;
  for (size_t at = 0; at < path.size();) {
    const size_t slash = path.find('/', at);
    const size_t end = slash == std::string::npos ? path.size() : slash;
    const std::string name = path.substr(at, end - at);
    FileDescriptor folder;
    // Below what is missing or is no folder there are no links.
    if (!tryOpen(place, folder)) return path;
    std::array<char, PATH_MAX> target;
    const ssize_t length = readlinkat(folder.get(), name.c_str(), target.data(), target.size());
    if (length < 0) {
      if (errno != EINVAL && errno != ENOENT) throw SystemCallError(errno, "readlinkat", path);
      place = path.substr(0, end);
      at = end + 1;
      continue;
    }
    links += 1;
    if (links > LINKS_MAX) throw SystemCallError(ELOOP, "readlinkat", std::string(start));
    const std::string text(target.data(), static_cast<size_t>(length));
    const std::string rest = path.substr(end);
    path = cleanedPath(text.starts_with('/') ? text + rest : place + "/" + text + rest);
    if (path.size() >= PATH_MAX) throw SystemCallError(ENAMETOOLONG, "readlinkat", std::string(start));
    place.clear();
    at = 0;
  }
  return path;
}

}  // namespace lazuli
