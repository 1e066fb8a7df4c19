#include "core/layer_unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "check.h"
#include "core/syscalls.h"
#include "core/tree_changes.h"
#include "core/tree_removal.h"

using namespace lazuli;

namespace {

CancelFlag noCancel{false};

/** One entry without content. */
void put(RecordWriter& records, LayerEntryKind kind, const std::string& name, const std::string& target = "") {
  records.byte(static_cast<uint8_t>(kind));
  for (const uint32_t word : {0755U, static_cast<uint32_t>(getuid()), static_cast<uint32_t>(getgid()), 0U, 0U}) {
    records.word(word);
  }
  records.number64(1'500'000'000);
  records.word(7);
  records.number64(0);
  records.text(name);
  records.text(target);
  records.word(0);
  records.word(0);
}

void unpack(const std::string& root, RecordWriter& records) {
  const FileDescriptor archive(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::string bytes = records.bytes();
  const auto* start = reinterpret_cast<const uint8_t*>(bytes.data());
  unpackLayer({root, archive.get(), false, {}}, {start, bytes.size()}, noCancel);
}

void namesStayBelowTheRoot(const std::string& folder) {
  const std::string root = folder + "/root";
  CHECK(mkdir(root.c_str(), 0755) == 0);
  CHECK(mkdir((folder + "/outside").c_str(), 0755) == 0);
  RecordWriter records;
  put(records, LayerEntryKind::symlink, "up", "../outside");
  put(records, LayerEntryKind::symlink, "far", folder + "/outside");
  put(records, LayerEntryKind::file, "up/one");
  put(records, LayerEntryKind::file, "far/two");
  put(records, LayerEntryKind::whiteout, "up/one");
  unpack(root, records);
  CHECK(std::filesystem::is_empty(folder + "/outside"));
  CHECK(!std::filesystem::exists(root + "/outside/one"));
  CHECK(std::filesystem::exists(root + folder + "/outside/two"));
}

void linksInACircleAreRefused(const std::string& folder) {
  const std::string root = folder + "/circle";
  CHECK(mkdir(root.c_str(), 0755) == 0);
  RecordWriter records;
  put(records, LayerEntryKind::symlink, "a", "b");
  put(records, LayerEntryKind::symlink, "b", "a");
  put(records, LayerEntryKind::file, "a/file");
  CHECK_THROWS(SystemCallError, unpack(root, records));
}

void cutRecordsAreRefused(const std::string& folder) {
  RecordWriter records;
  put(records, LayerEntryKind::file, "cut");
  records.bytes().pop_back();
  CHECK_THROWS(std::invalid_argument, unpack(folder, records));
}

void changesAreFound(const std::string& folder) {
  const std::string lower = folder + "/lower";
  const std::string upper = folder + "/upper";
  for (const std::string& tree : {lower, upper}) std::filesystem::create_directories(tree + "/same/deep");
  CHECK(treeChanges({lower, upper, ""}, noCancel).empty());
  std::ofstream(upper + "/same/deep/new") << "new";
  std::ofstream(lower + "/gone") << "gone";
  const std::string changes = treeChanges({lower, upper, ""}, noCancel);
  CHECK(changes.find("same/deep/new") != std::string::npos);
  CHECK(changes.find("gone") < changes.find("same"));
}

}  // namespace

int main() {
  std::string folder = "/tmp/lazuli-unpack-test-XXXXXX";
  CHECK(mkdtemp(folder.data()) != nullptr);
  namesStayBelowTheRoot(folder);
  linksInACircleAreRefused(folder);
  cutRecordsAreRefused(folder);
  changesAreFound(folder);
  removeTree(folder);
}
