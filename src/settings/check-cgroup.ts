import { existsSync } from "node:fs";
import { deprecatedChannel } from "../observe/index.js";

/** A file that only the root of cgroup v2 has (docs.kernel.org/admin-guide/cgroup-v2.html). */
const UNIFIED = "/sys/fs/cgroup/cgroup.controllers";

/** Tells of the old cgroups, where the node has them. */
export function checkCgroup(unified: string = UNIFIED): void {
  if (!existsSync(unified)) deprecatedChannel.publish({ name: "cgroup-v1" });
}
