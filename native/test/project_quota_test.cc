#include "core/project_quota.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include "check.h"
#include "core/syscalls.h"

using namespace lazuli;

int main() {
  std::string base = std::filesystem::temp_directory_path() / "lazuli-quota-XXXXXX";
  CHECK(mkdtemp(base.data()) != nullptr);
  const std::string missing = base + "/missing";
  CHECK_THROWS(SystemCallError, projectQuotaState(missing));
  CHECK_THROWS(SystemCallError, projectOf(missing));
  CHECK_THROWS(SystemCallError, assignProject(missing, 1));
  CHECK_THROWS(SystemCallError, limitProject(missing, 1, 1));
  CHECK_THROWS(SystemCallError, limitProject(base, 1, UINT64_MAX));
  CHECK_THROWS(SystemCallError, projectUsage(missing, 1));
  // The kernel's own file systems keep no accounts.
  const ProjectQuotaState none = projectQuotaState("/proc");
  CHECK(!none.isAccounted);
  CHECK(!none.isEnforced);
  CHECK_THROWS(SystemCallError, projectUsage("/proc", 1));
  CHECK_THROWS(SystemCallError, projectOf("/proc"));
  std::filesystem::remove(base);
  return 0;
}
