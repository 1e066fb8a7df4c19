/**
 * What others wrote as config: containerd's files of forms 1 to 4, and what becomes of them here.
 *
 *     const migration = migrateConfig(await readContainerdConfig("/etc/containerd/config.toml"));
 */

export { checkCgroup } from "./check-cgroup.js";
export { type ContainerdConfig, readContainerdConfig } from "./containerd-files.js";
export { Deprecations } from "./deprecations.js";
export { migrateConfig } from "./migrate-config.js";
export type { DroppedKey, HostsFile, Migration, TakenKey } from "./migration.js";
