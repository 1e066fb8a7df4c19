#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "core/idmap_namespace.h"
#include "core/idmap_ranges.h"
#include "core/idmap_tree.h"
#include "core/idmap_xattrs.h"
#include "core/syscalls.h"

using namespace lazuli;

namespace {

using Bytes = std::vector<uint8_t>;

void checkRanges() {
  const IdRanges ranges({{1000, 6000, 10}, {0, 100000, 1000}, {4294967290U, 7000, 5}});
  CHECK(ranges.map(0) == 100000U);
  CHECK(ranges.map(999) == 100999U);
  CHECK(ranges.map(1000) == 6000U);
  CHECK(ranges.map(1009) == 6009U);
  CHECK(!ranges.map(1010).has_value());
  CHECK(ranges.map(4294967294U) == 7004U);
  CHECK(!ranges.map(4294967295U).has_value());
  CHECK(!IdRanges({}).map(0).has_value());
}

void checkCapabilities() {
  const IdRanges uids({{0, 100000, 1000}});
  Bytes second(20, 0);
  second[0] = 1;
  second[3] = 2;
  const auto mapped = mapCapability(second, uids);
  CHECK(mapped.has_value() && mapped->size() == 24);
  CHECK((*mapped)[0] == 1 && (*mapped)[3] == 3);
  CHECK((*mapped)[20] == 0xA0 && (*mapped)[21] == 0x86 && (*mapped)[22] == 1 && (*mapped)[23] == 0);
  // Its root, 100000, is none of the namespace.
  CHECK(!mapCapability(*mapped, uids).has_value());
  CHECK(mapCapability(*mapped, IdRanges({{100000, 0, 1}})).has_value());
  for (size_t size = 0; size < second.size(); size++) CHECK(!mapCapability(Bytes(size, 2), uids).has_value());
  CHECK(!mapCapability(Bytes(24, 2), uids).has_value());
}

void checkAccessLists() {
  const IdRanges uids({{0, 100000, 1000}});
  const IdRanges gids({{0, 200000, 1000}});
  // Owner, user 5, group 6, mask.
  const Bytes list = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2,  0, 6, 0,   5,   0,   0,
                      0, 8, 0, 4, 0, 6, 0, 0, 0,   16,  0,   7,   0,  255, 255, 255, 255};
  const auto mapped = mapAccessList(list, uids, gids);
  CHECK(mapped.has_value() && mapped->size() == list.size());
  CHECK((*mapped)[8] == 255 && (*mapped)[16] == 0xA5 && (*mapped)[24] == 0x46);
  CHECK(!mapAccessList(*mapped, uids, gids).has_value());
  CHECK(!mapAccessList(Bytes(11, 2), uids, gids).has_value());
  CHECK(!mapAccessList({}, uids, gids).has_value());
}

void checkTree() {
  std::string folder = "/tmp/lazuli-idmap-XXXXXX";
  CHECK(mkdtemp(folder.data()) != nullptr);
  const std::string file = folder + "/file";
  const std::string link = folder + "/link";
  CHECK(FileDescriptor(open(file.c_str(), O_CREAT | O_WRONLY, 0700)));
  CHECK(::link(file.c_str(), link.c_str()) == 0);
  const CancelFlag isCancelled = false;
  // The second name would be refused if it were mapped once more.
  CHECK(TreeRemap(IdRanges({{0, 100000, 10}}), IdRanges({{0, 0, 10}}), isCancelled).run(folder) == 2);
  struct stat facts;
  CHECK(stat(link.c_str(), &facts) == 0 && facts.st_uid == 100000 && facts.st_gid == 0);
  CHECK_THROWS(SystemCallError, TreeRemap(IdRanges({{0, 1, 10}}), IdRanges({{0, 0, 10}}), isCancelled).run(folder));
  const CancelFlag isOver = true;
  CHECK_THROWS(SystemCallError, TreeRemap(IdRanges({{100000, 0, 1}}), IdRanges({{0, 0, 1}}), isOver).run(folder));
  unlink(file.c_str());
  unlink(link.c_str());
  rmdir(folder.c_str());
}

}  // namespace

int main() {
  checkRanges();
  checkCapabilities();
  checkAccessLists();
  // The rest needs root.
  if (geteuid() != 0) return 0;
  checkTree();
  CHECK(makeUserNamespace("0 100000 65536\n", "0 100000 65536\n"));
  CHECK_THROWS(SystemCallError, makeUserNamespace("nonsense", "0 0 1\n"));
}
